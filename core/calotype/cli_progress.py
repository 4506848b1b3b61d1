"""How far a job is, on the terminal's stderr. Nothing at all where stderr is not a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from calotype.events import Event, Finished, Paused, Queued, Started, Stepped


class ProgressLine:
    """One line that follows a job. A context manager."""

    def __init__(self, *, quiet: bool) -> None:
        console = Console(stderr=True)
        self._quiet = quiet or not console.is_terminal
        self.noted: list[str] = []
        """Notes that were told."""
        self._warned: set[str] = set()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=self._quiet,
        )
        self._task = self._progress.add_task("starting…", total=None)

    def __enter__(self) -> ProgressLine:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Something that takes unknown time."""
        self._progress.update(self._task, description=text)

    def warn(self, reason: str) -> None:
        """Why it takes so long; once, and also where nobody watches the line."""
        if reason not in self._warned:
            self._warned.add(reason)
            self._progress.console.print(f"waiting: {reason}", markup=False, highlight=False, soft_wrap=True)

    def _note(self, note: str) -> None:
        """Above the line, where it stays."""
        if not self._quiet and note not in self.noted:
            self.noted.append(note)
            self._progress.console.print(f"note: {note}", markup=False, highlight=False, soft_wrap=True)

    def show(self, event: Event, *, loading: bool) -> None:
        """An event of the job; ``loading``: the model is not there yet."""
        match event:
            case Queued(position=position):
                self.say("loading the model…" if loading else f"position {position + 1} in the queue{event.about}")
            case Started(notes=notes):
                self.say("started")
                for note in notes:
                    self._note(note)
            case Stepped(step=step, steps=steps):
                self._progress.update(self._task, description=f"step {step} of {steps}", completed=step, total=steps)
            case Paused():
                self.say("paused")
            case Finished():
                self.say("fetching the pictures…")
            case _:
                self.say("ended")
