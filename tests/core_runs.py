"""A run for arithmetic about runs only; real ones are driven in tests/core/engine/test_host.py."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass(eq=False)
class FakeRun:
    person: str
    row_cost: float = 1.0
    batching_key: str = "m"
    weight: float = 1.0
    assignment: Any = field(init=False)

    def __post_init__(self) -> None:
        self.assignment = SimpleNamespace(person=self.person, weight=self.weight)
