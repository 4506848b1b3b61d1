"""A damaged checkpoint beside a good one: it is refused, and the other model serves."""

from __future__ import annotations

import shutil

from calotype.checkpoint import EMBEDDED
from faults.conftest import Open, Record
from serving import until

PLAIN = {"prompt": "blue cat", "steps": 2, "options": {"upscale": False}}


def test_a_damaged_checkpoint_beside_a_good_one(open_service: Open, record: Record) -> None:
    service = open_service()
    service.home.mkdir()
    damaged = service.home.parent / "damaged"
    shutil.copytree(EMBEDDED, damaged)
    (damaged / "calotype.json").unlink()
    service.start()
    service.until_ready()
    token = (service.address() or {})["token"]
    with service.client() as client:
        added = client.post("/v1/models", json={"folder": str(damaged)}, headers={"Authorization": f"Bearer {token}"})
        assert added.status_code in (200, 201), added.text
    weights = next(damaged.glob("unet/*.safetensors"))
    whole = weights.read_bytes()
    weights.write_bytes(whole[: len(whole) // 2])  # damaged after it was offered
    names = [each["id"] for each in service.get("/v1/models").json()["data"]]
    bad = service.submit({**PLAIN, "model": next(name for name in names if "damaged" in name)})
    good = [service.submit({**PLAIN, "seed": number}, address="127.0.0.3") for number in range(2)]
    until(lambda: service.status(bad) == "failed", "the damaged one to be refused")
    lost = sum(row["status"] != "finished" for row in service.until_over(*good))
    (row,) = service.jobs(bad)
    assert "unet" in row["error"] or "damaged" in row["error"], row["error"]
    service.kill()
    service.start()  # and it is no reason not to start
    service.until_ready()
    last = service.submit(PLAIN, address="127.0.0.3")
    lost += service.until_over(last)[0]["status"] != "finished"
    record("corrupt checkpoint beside a good one", jobs=4, lost=lost)
