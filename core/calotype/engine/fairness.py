"""Who takes part in the next model call: those who were served least, by what it costs and not by turns."""

from __future__ import annotations

from collections.abc import Sequence

from calotype.engine.run import Run


class Service:
    """Service received, by person, in units of cost over weight (a virtual token counter, Sheng et al. 2024)."""

    def __init__(self) -> None:
        self._received: dict[str, float] = {}
        self._ahead: dict[str, float] = {}
        """Of those who pause: what they had received beyond the least served."""

    def arrive(self, person: str) -> None:
        """Somebody who was idle starts level with the least served: being away earns no credit."""
        if person not in self._received:
            level = min(self._received.values(), default=0.0)
            self._received[person] = level + self._ahead.pop(person, 0.0)

    def leave(self, person: str) -> None:
        """They have no runs any more."""
        self._received.pop(person, None)
        self._ahead.pop(person, None)

    def pause(self, person: str) -> None:
        """None of their runs takes part for now. When they come back they are as far ahead as they were.

        Else somebody who pauses after each step would be among the least served at every one.
        """
        if person in self._received:
            self._ahead[person] = self._received[person] - min(self._received.values())
            del self._received[person]

    def choose(self, runs: Sequence[Run], slots: int) -> list[Run]:
        """At most ``slots`` of ``runs`` (in order of arrival), all of one batching key; their cost is charged.

        The least served person decides the key, so no key can block another; further slots go, one by one, to
        whoever of that key is then served least.
        """
        chosen: list[Run] = []
        waiting = list(runs)
        while waiting and len(chosen) < slots:
            run = min(waiting, key=lambda r: self._received[r.assignment.person])  # min is stable: oldest run first
            if not chosen:
                waiting = [other for other in waiting if other.batching_key == run.batching_key]
            waiting.remove(run)
            chosen.append(run)
            self._received[run.assignment.person] += run.row_cost / run.assignment.weight
        return chosen
