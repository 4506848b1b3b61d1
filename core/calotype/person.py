"""Who asks. A front end names its people; the ledger keeps one fair tag for each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Person:
    """Somebody who submits jobs. ``key`` is unique over all front ends: ``web:…``, ``discord:…``, ``api:…``."""

    key: str
    name: str = ""
    weight: float = 1.0
    """Share of the service against others: 2.0 gets twice the service of 1.0 while both wait."""
    operator: bool = False
    """May see every job and manage models."""


OPERATOR = Person("operator", "operator", operator=True)
"""Whoever can read the data folder: the command line, and who holds its token."""
