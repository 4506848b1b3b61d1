"""docs/samplers.md lists every bundled sampler and schedule, and what it says of them is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import calotype
from calotype.plugins.registry import Registry

PAGE = (Path(__file__).parents[2] / "docs" / "samplers.md").read_text("utf-8")
REGISTRY = Registry.discover()
ROWS = {
    cells[0].strip("`"): cells[1:]
    for line in PAGE.splitlines()
    if re.match(r"\| `\w+` \|", line)
    for cells in [[cell.strip() for cell in line.strip("|").split("|")]]
    if cells[0].strip("`") in {**REGISTRY.samplers, **REGISTRY.schedules} and len(cells) > 2
}
EACH = {**REGISTRY.samplers, **REGISTRY.schedules}


@pytest.mark.parametrize("thing", EACH.values(), ids=EACH)
def test_its_row_says_what_can_be_set_and_its_other_names(thing: calotype.Sampler | calotype.Schedule) -> None:
    *_, settable, names = ROWS[thing.name]
    assert set(re.findall(r"`(\w+)`", settable)) == set(thing.Params.model_fields)
    assert re.findall(r"`(\w+)`", names) == list(thing.aliases)


@pytest.mark.parametrize("name", REGISTRY.samplers)
def test_its_row_says_how_many_calls_it_takes(name: str) -> None:
    calls = ROWS[name][0]
    assert REGISTRY.samplers[name].calls(10) == (19 if calls.startswith("2n") else 10)
