"""What is found of a job whose files are not all there."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from calotype.errors import BadRequest
from calotype.images.store import ImageStore
from calotype.job import Picture
from calotype.ledger import Ledger, LedgerReader
from calotype.person import Person
from calotype.request import Request
from calotype.retracing import find

ANN = Person("web:ann")


def test_a_picture_that_the_operator_removed_is_named_as_such(url: str, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    kept, removed, lost = (store.put(name) for name in (b"kept", b"removed", b"lost"))
    with closing(Ledger(url)) as ledger:
        job = ledger.submit(ANN, Request(prompt="cat", images=3), cost=1.0)
        (claimed,) = ledger.claim()
        drawn = [Picture(n, n, sha256, 64, 64) for n, sha256 in enumerate((kept, removed, lost))]
        ledger.finish(job.id, claimed.epoch, drawn, {})
        ledger.take_in(ANN, removed)
        again = ledger.submit(ANN, Request(prompt="cat", init_image=removed, strength=0.5), cost=1.0)
        (claimed,) = ledger.claim()
        ledger.finish(again.id, claimed.epoch, drawn[:1], {})
        ledger.blocked.block_picture("00" * 8, "unwanted", "operator", [removed])
    for sha256 in (removed, lost):
        store.delete(sha256)
    found = find(LedgerReader(url), store, job.id)
    assert found.files == {0: b"kept"}
    assert found.removed == {1}
    assert "removed by the operator" in found.problems[1]
    assert "no longer kept" in found.problems[2]
    with pytest.raises(BadRequest, match=r"^init_image: it was removed by the operator"):
        find(LedgerReader(url), store, again.id)
