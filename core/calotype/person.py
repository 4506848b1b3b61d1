"""Who asks. A front end names its people by accounts; the ledger knows which of them are one person."""

from __future__ import annotations

from dataclasses import dataclass

from calotype.errors import NotAllowed


@dataclass(frozen=True)
class Person:
    """Somebody who submits jobs, by an account. ``key`` is unique over all front ends: ``web:…``, ``discord:…``."""

    key: str
    name: str = ""
    weight: float | None = None
    """Share of the service against others. None, as front ends leave it: that of the person's role. A given one holds
    until they submit without one, or the service starts again."""
    operator: bool = False
    """May see every job and manage models and people. No cap holds for them."""
    role: str | None = None
    """The role of somebody who was never here before; None is a member. Later roles are the operator's business."""
    guild: str | None = None
    """Where they speak from now, for caps: a Discord server."""
    address: str | None = None
    """Where they speak from now, for caps: a digest of a visitor's address, never the address."""
    shared: bool = False
    """Known by their address only, which others may have too: such an account cannot be linked, and nothing of it is
    listed; a job of theirs is reached by its id."""

    def check_alone(self, what: str) -> None:
        """Raises :class:`NotAllowed` if others may be this person as well: ``what`` is nobody's to see or to take."""
        if self.shared:
            raise NotAllowed(
                f"{what}: you are known by your address only, and others may share it; open the page once for a cookie "
                "and send that, or use the operator's token"
            )


OPERATOR = Person("operator", "operator", operator=True, role="operator")
"""Whoever can read the data folder: the command line, and who holds its token."""
