"""Roles: what weight a person's jobs have and how much they may ask for. The operator's settings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from calotype.errors import BadRequest

VISITOR: Final = "visitor"
"""Whoever is known by a cookie or an address only."""
MEMBER: Final = "member"
"""Everybody else. Also stands in for a role that the settings no longer name."""
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


class Role(BaseModel):
    """What holds for the people of one role. None is no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    weight: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    """Share of the service against others while both wait."""
    queued: Annotated[int, Field(ge=0, le=100_000)] | None = 20
    """Jobs of one person that may wait at a time; 0 takes nothing from them."""
    daily_budget: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Cost units a day (UTC)."""
    favourites: Annotated[int, Field(ge=0, le=1_000_000)] | None = 200
    """Jobs that they may keep from every retention."""


DEFAULT_ROLES: Final[Mapping[str, Role]] = MappingProxyType(
    {
        VISITOR: Role(queued=10),
        MEMBER: Role(queued=20),
        "patron": Role(weight=3.0, queued=50, favourites=1000),
        "operator": Role(queued=None, favourites=None),
    }
)


def roles_of(settings: Any) -> Mapping[str, Any]:
    """The default roles with the operator's on top, field by field; new ones as a default member. Not yet validated.

    Raises ValueError that says what is wrong with it as a whole.
    """
    if not isinstance(settings, Mapping):
        raise ValueError('is not a JSON object; write one such as {"member": {"queued": 20}, "patron": {"weight": 3}}')
    made: dict[str, Any] = {name: role.model_dump() for name, role in DEFAULT_ROLES.items()}
    for name, given in settings.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name[:40]!r} is no name for a role; use a to z, digits, - and _, at most 32")
        given = given.model_dump() if isinstance(given, Role) else given  # noqa: PLW2901
        base = DEFAULT_ROLES.get(name, DEFAULT_ROLES[MEMBER]).model_dump()
        made[name] = {**base, **given} if isinstance(given, Mapping) else given
    return made


@dataclass(frozen=True)
class Limits:
    """How much may be asked for. The ledger holds everybody to it, in the transaction that accepts a job."""

    roles: Mapping[str, Role] = field(default_factory=lambda: DEFAULT_ROLES)
    guild_queued: int | None = None
    """Jobs that may wait from one Discord server."""
    address_queued: int | None = None
    """Jobs that may wait from one address of anonymous visitors."""
    now: Callable[[], datetime] | None = None
    """The time (aware) that days are counted by; None: the database's clock."""

    def role(self, name: str) -> Role:
        """The role of that name, or a member's if the settings no longer name it."""
        return self.roles.get(name) or self.roles[MEMBER]

    def check_role(self, name: str) -> None:
        """Raises :class:`BadRequest` unless it is a role."""
        if name not in self.roles:
            raise BadRequest.of("role", f"{name[:60]!r} is not one of {', '.join(self.roles)}; see CALOTYPE_ROLES")

    def better(self, one: str, other: str) -> str:
        """The role that gives more; the first one if both give the same."""
        return max((one, other), key=self._gives)

    def _gives(self, name: str) -> tuple[float, float, float]:
        role, no_limit = self.role(name), float("inf")
        return (
            role.weight,
            no_limit if role.queued is None else role.queued,
            no_limit if role.daily_budget is None else role.daily_budget,
        )


_ALIKE: Final = (VISITOR, MEMBER, "operator")
UNLIMITED: Final = Limits(roles=MappingProxyType({name: Role(queued=None, favourites=None) for name in _ALIKE}))
"""Everybody alike, without caps: for a ledger that is used by itself."""
