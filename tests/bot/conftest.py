"""Tests of the Discord bot: an in-process Discord (simcord), the real studio behind the bot."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # tests are no packages: their helpers are found here

from bot_stage import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One real service for the tests of a module."""
    house = House(tmp_path_factory.mktemp("house"))
    yield house
    house.close()
