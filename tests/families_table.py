"""Writes the README's table of families × features from the parity tests that passed.

    python tests/families_table.py

The quick tests hold the README to it: a family whose test is gone, or new, makes them fail.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from calotype.families import BUNDLED

README = Path(__file__).parent.parent / "README.md"
TESTS = Path(__file__).parent / "core" / "engine" / "test_parity_families.py"
BEGIN, END = "<!-- families: python tests/families_table.py -->", "<!-- families end -->"
COLUMNS = {"text": "text to image", "image": "image to image", "inpaint": "inpainting", "lora": "LoRA"}
VARIANTS = {"inpaint": "sd1", "sd3_without_t5": "sd3", "schnell": "flux"}
"""Checkpoints of a family that differ: name in the tests → family."""


def table(passed: Collection[tuple[str, str]]) -> str:
    """Markdown, of (name of a checkpoint, feature)."""
    lines = [f"| family | {' | '.join(COLUMNS.values())} |", f"|---|{'---|' * len(COLUMNS)}"]
    done = {(VARIANTS.get(name, name), what) for name, what in passed}
    for family in sorted(BUNDLED, key=lambda each: each.label):
        marks = ["✓" if (family.name, what) in done else "–" for what in COLUMNS]
        lines.append(f"| {family.label} | {' | '.join(marks)} |")
    return "\n".join(lines)


def written() -> str:
    """What the README has now."""
    found = re.search(f"{re.escape(BEGIN)}\n(.*?)\n{re.escape(END)}", README.read_text("utf-8"), re.DOTALL)
    assert found, "the README has no place for the table"
    return found[1]


class _Passed:
    def __init__(self) -> None:
        self.cases: set[tuple[str, str]] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        found = re.search(r"test_parity_of_family\[(\w+)-(\w+)\]", report.nodeid)
        if report.when == "call" and report.passed and found:
            self.cases.add((found[1], found[2]))


def main() -> int:
    passed = _Passed()
    code = pytest.main([str(TESTS), "-p", "no:cacheprovider"], plugins=[passed])
    before = f"{BEGIN}\n{written()}\n{END}"
    text = README.read_text("utf-8").replace(before, f"{BEGIN}\n{table(passed.cases)}\n{END}")
    README.write_text(text, "utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main())
