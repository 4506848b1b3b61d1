"""What a front end is to the program that hosts it. Found through the entry-point group ``calotype.frontends``."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, ClassVar, Final

from calotype.config import Settings
from calotype.errors import BadRequest
from calotype.home import Home
from calotype.studio import Studio

GROUP: Final = "calotype.frontends"


@dataclass
class Hosting:
    """What front ends are handed: the studio, the settings, and each other's web pages to mount."""

    studio: Studio
    settings: Settings
    home: Home
    front_ends: Sequence[FrontEnd] = field(default_factory=tuple)
    announcements: list[str] = field(default_factory=list)
    """Lines for the operator's terminal once everything is up, e.g. the page's address."""


class FrontEnd(ABC):
    """A door to the studio. Made once a process; importing its module must be cheap."""

    name: ClassVar[str]
    part: ClassVar[str] = "page"
    """Of the service, where its parts are processes of their own: ``page``, or ``bot``."""

    def absent(self, settings: Settings) -> str | None:
        """Why it does not take part (no token, say) and what to do about it; None if it does."""
        return None

    def reply_to(self, channel: str) -> Mapping[str, Any]:
        """Where it delivers what nobody asked for just now, as the ledger keeps it; ``channel`` in its own words.

        Raises :class:`BadRequest` if it cannot.
        """
        raise BadRequest.of("channel", f"{self.name} posts nothing by itself; take discord:CHANNEL")

    def mount(self, app: Any, hosting: Hosting) -> None:
        """Add pages to the web application (FastAPI) that another front end serves."""
        return

    async def run(self, hosting: Hosting) -> None:
        """Serve until cancelled. Returning early is fine for one that only mounts pages."""
        return


def discover() -> list[FrontEnd]:
    """Every installed front end, by name."""
    return [entry.load()() for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)]
