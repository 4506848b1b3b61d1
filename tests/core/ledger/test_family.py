"""Favourites: as many as a role may keep, however many ask at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from calotype.errors import LimitReached
from calotype.ledger import Ledger
from calotype.person import Person
from calotype.request import Request
from calotype.roles import DEFAULT_ROLES, Limits, Role

ANN, BEN = Person("web:ann"), Person("web:ben")
REQUEST = Request(prompt="blue cat", seed=7)
TWO = Limits({**DEFAULT_ROLES, "member": Role(favourites=2)})


def favourites(ledger: Ledger) -> list[str]:
    return [job.id for job in reversed(ledger.history(None)) if job.favourite]


def test_a_role_keeps_so_many(ledger: Ledger) -> None:
    first, second, third = (ledger.submit(ANN, REQUEST, cost=1.0).id for _ in range(3))
    other = ledger.submit(BEN, REQUEST, cost=1.0).id
    for job_id in (first, second, second, other):  # one that is kept already takes no room again
        assert ledger.archive.favour(job_id, True, TWO) is not None
    with pytest.raises(LimitReached, match="favourites: 2 are kept, the most there may be; let go of one first"):
        ledger.archive.favour(third, True, TWO)
    assert favourites(ledger) == [first, second, other]
    assert ledger.archive.favour(first, False, TWO) is not None
    assert ledger.archive.favour(third, True, TWO) is not None
    assert ledger.archive.favour(first, True) is not None, "an operator may, whosever it is"
    assert ledger.archive.favour("nope", True, TWO) is None
    ledger.people.limits = TWO
    ledger.people.set_role(ANN.key, "patron", "operator")
    more = ledger.submit(ANN, REQUEST, cost=1.0).id
    assert ledger.archive.favour(more, True, TWO) is not None


def test_none_gets_over_the_limit_by_asking_at_once(ledger: Ledger) -> None:
    ids = [ledger.submit(ANN, REQUEST, cost=1.0).id for _ in range(8)]

    def keep(job_id: str) -> bool:
        try:
            return ledger.archive.favour(job_id, True, TWO) is not None
        except LimitReached:
            return False

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(keep, ids)) == 2
    assert len(favourites(ledger)) == 2
