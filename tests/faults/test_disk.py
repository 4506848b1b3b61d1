"""The image store is full: a real file system of a few hundred kilobytes, mounted for the service alone.

The process gets a mount namespace of its own (``unshare``), as root or where users may have one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from faults.conftest import Open, Record
from faults.harness.launching import Launched, Launcher
from faults.harness.service import Service
from serving import until

SIZE = 600
"""Kilobytes of the whole store."""
WISH = {"prompt": "blue cat", "steps": 1, "images": 2, "sampler": "euler", "options": {"upscale": False}}


def _unshare() -> list[str]:
    return ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--user", "--map-root-user"]


class OnASmallDisk(Launcher):
    """Cold, in a mount namespace in which the pictures lie on a small disk."""

    def start(
        self, words: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path, script: Path | None = None
    ) -> Launched:
        import sys

        images = Path(env["CALOTYPE_HOME"]) / "images"
        images.mkdir(parents=True, exist_ok=True)
        mount = f'mount -t tmpfs -o size={SIZE}k,mode=0777 none "$0" && exec "$@"'
        program = [*_unshare(), "sh", "-c", mount, str(images), sys.executable, "-m", "calotype", *words]
        with log.open("ab") as said:
            return subprocess.Popen(program, env=dict(env), cwd=cwd, stdout=said, stderr=said)


@pytest.fixture
def small_disk(path_of_strangers: None) -> Launcher:
    if shutil.which("unshare") is None or subprocess.run([*_unshare(), "true"], check=False).returncode != 0:
        pytest.skip("no mount namespaces here")
    return OnASmallDisk()


def _store(service: Service) -> Path:
    """The small disk, seen from outside."""
    return Path(f"/proc/{service.process.pid}/root{service.home}/images")


def test_image_store_full(open_service: Open, record: Record, small_disk: Launcher) -> None:
    service = open_service(by=small_disk, CALOTYPE_DISK_FREE_GB="0")
    service.start()
    service.until_ready()
    store = _store(service)
    filling = store / "something else"
    filling.write_bytes(bytes((SIZE - 16) * 1024))
    jobs = [service.submit({**WISH, "seed": number}, f"k{number}") for number in range(4)]
    until(lambda: "cannot be recorded; trying" in service.tail(20_000), "the service to notice")
    time.sleep(3)
    found = {row["status"] for row in service.jobs()}  # one whose pictures just fitted in may be finished
    assert "running" in found and found <= {"queued", "running", "finished"}, "nothing was given up"
    assert not list(store.glob("??/*.part")), "no partial file"
    assert "free some disk space" in service.tail(20_000)
    assert service.get("/healthz").status_code == 200
    filling.unlink()
    begun = time.monotonic()
    rows = service.until_over()
    seconds = time.monotonic() - begun
    whole = {path.stem for path in store.glob("??/*.png")}
    drawn = {row["sha256"] for row in service.rows("SELECT sha256 FROM pictures")}
    lost = sum(row["status"] != "finished" for row in rows) + len(drawn - whole)
    kind = "a tmpfs of 600 kB; until all was made after there was room again"
    record("image store full", jobs=len(jobs), lost=lost, recovery=[seconds], note=kind)


def test_less_is_free_than_has_to_be(open_service: Open, record: Record, small_disk: Launcher) -> None:
    service = open_service(by=small_disk, CALOTYPE_DISK_FREE_GB="0.0003")
    service.start()
    service.until_ready()
    filling = _store(service) / "something else"
    filling.write_bytes(bytes(400 * 1024))
    until(lambda: service.get("/readyz").json().get("state") == "held", "the service to notice")
    jobs = [service.submit({**WISH, "images": 1, "seed": number}) for number in range(2)]
    time.sleep(2)
    assert {row["status"] for row in service.jobs()} == {"queued"}, "nothing was begun"
    assert "no job is begun until there is room" in service.tail(20_000)
    filling.unlink()
    begun = time.monotonic()
    lost = sum(row["status"] != "finished" for row in service.until_over())
    seconds = time.monotonic() - begun
    note = "nothing begun; until all was made after there was room again"
    record("less disk free than has to be", jobs=len(jobs), lost=lost, recovery=[seconds], note=note)
