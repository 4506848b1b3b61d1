"""What an export says of files that are not there."""

from __future__ import annotations

import json
import zipfile
from contextlib import closing
from pathlib import Path

from calotype.exporting import export
from calotype.images.store import ImageStore
from calotype.job import Picture
from calotype.ledger import Ledger
from calotype.person import Person
from calotype.request import Request

ANN = Person("web:ann")


def test_what_the_operator_removed_is_not_missing(url: str, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    drawn = [store.put(name) for name in (b"kept", b"removed", b"lost")]
    brought = [store.put(name) for name in (b"brought and removed", b"brought and lost")]
    with closing(Ledger(url)) as ledger:
        job = ledger.submit(ANN, Request(prompt="cat", images=3), cost=1.0)
        (claimed,) = ledger.claim()
        ledger.finish(job.id, claimed.epoch, [Picture(n, n, sha256, 64, 64) for n, sha256 in enumerate(drawn)], {})
        for sha256 in brought:
            ledger.take_in(ANN, sha256)
        ledger.blocked.block_picture("00" * 8, "unwanted", "operator", [drawn[1], brought[0]])
        for sha256 in (*drawn[1:], *brought):
            store.delete(sha256)
        done = export(ledger, store, ANN.key, tmp_path / "a.zip")
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        told = json.loads(archive.read("history.json"))
    pictures = told["jobs"][0]["pictures"]
    assert [each["file"] is None for each in pictures] == [False, True, True]
    assert [len(each["notes"]) for each in pictures] == [0, 1, 0]
    assert told["removed_by_operator"] == done.removed
    assert told["missing"] == done.missing
    assert [name[-6:] for name in done.removed[:1] + done.missing[:1]] == ["-2.png", "-3.png"]
    assert (done.removed[1:], done.missing[1:]) == ([f"uploads/{brought[0]}.png"], [f"uploads/{brought[1]}.png"])
