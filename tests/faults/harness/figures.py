"""What the runs showed: a line for each fault and database, printed, kept as JSON, and put into docs/faults.md."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

_ROOT: Final = Path(__file__).parents[3]
RESULTS: Final = _ROOT / "benchmarks/results/faults.json"
PAGE: Final = _ROOT / "docs/faults.md"
BEGIN, END = "<!-- figures of make faults -->", "<!-- end of figures -->"


@dataclass
class Figure:
    """One row of the table."""

    fault: str
    database: str
    runs: int
    """How often the fault was made."""
    jobs: int = 0
    lost: int = 0
    """Jobs that were accepted and have no result, or not the one they should have."""
    doubled: int = 0
    """Jobs recorded or delivered more often than promised."""
    recovery: list[float] = field(default_factory=list)
    """Seconds, one for each run where there is something to recover."""
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """As the table shows it."""
        times = f"{median(self.recovery):.1f} / {max(self.recovery):.1f} s" if self.recovery else "–"
        counts = (self.runs, self.jobs, self.lost, self.doubled)
        return (self.fault, self.database, *map(str, counts), times, self.note)


class Figures:
    """Of one session."""

    def __init__(self) -> None:
        self.rows: list[Figure] = []

    def add(self, figure: Figure) -> None:
        """One more. Runs of the same fault on the same database are one row."""
        for row in self.rows:
            if (row.fault, row.database) == (figure.fault, figure.database):
                row.runs, row.jobs = row.runs + figure.runs, row.jobs + figure.jobs
                row.lost, row.doubled = row.lost + figure.lost, row.doubled + figure.doubled
                row.recovery += figure.recovery
                row.note = figure.note or row.note
                return
        self.rows.append(figure)

    def table(self) -> str:
        """Markdown."""
        return table(self.rows)

    def keep(self, seed: int) -> None:
        """Write the results down: those measured now replace older ones of the same fault and database."""
        old = [Figure(**row) for row in _read().get("rows", [])]
        new = {(row.fault, row.database) for row in self.rows}
        rows = sorted([row for row in old if (row.fault, row.database) not in new] + self.rows, key=_order)
        what = {
            "measured": datetime.now(UTC).date().isoformat(),
            "seed": seed,
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "rows": [asdict(row) for row in rows],
        }
        RESULTS.write_text(json.dumps(what, indent=1) + "\n", "utf-8")
        before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n\n{table(rows)}\n\n{END}{after}", "utf-8")


def _order(row: Figure) -> tuple[bool, str, bool]:
    return (not row.fault.startswith("random"), row.fault, row.database != "SQLite")


def _read() -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found


def table(rows: Sequence[Figure]) -> str:
    """Markdown."""
    head = ("fault", "database", "runs", "jobs", "lost", "doubled", "recovery p50 / max", "")
    lines = [head, ("---",) * len(head), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |".replace("  |", " |") for line in lines)
