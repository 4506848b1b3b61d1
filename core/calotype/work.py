"""What the studio needs of whatever runs the jobs: an engine in this process, or others."""

from __future__ import annotations

from typing import Protocol


class Engine(Protocol):
    """How the engine of this very process is."""

    @property
    def ready(self) -> bool:
        """Whether it has loaded its model."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it could not start."""
        ...


class Work(Protocol):
    """What the studio needs of the dispatcher."""

    @property
    def engine(self) -> Engine | None:
        """Of this process, if it has one."""
        ...

    def wake(self) -> None:
        """Positions may have changed."""
        ...

    def submitted(self, job_id: str) -> None:
        """There is a job to claim."""
        ...

    def cancel(self, job_id: str) -> None:
        """Take a running job off its engine."""
        ...

    async def pause(self, job_id: str) -> None:
        """Let a running job stand where it is. Raises :class:`BadRequest`."""
        ...

    async def resume(self, job_id: str) -> None:
        """Let it go on, if it is paused."""
        ...

    def is_paused(self, job_id: str) -> bool:
        """Whether it is paused."""
        ...

    async def stop(self, drain: float) -> None:
        """Begin no new job, wait so many seconds for those that run, put the rest back."""
        ...

    @property
    def ready(self) -> bool:
        """Whether an engine has loaded its model."""
        ...

    @property
    def problem(self) -> str | None:
        """Why there is no engine, if there never will be."""
        ...

    @property
    def held(self) -> str | None:
        """Why no job is begun just now, though it will be."""
        ...
