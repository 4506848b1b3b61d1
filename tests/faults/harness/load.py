"""A load of mixed jobs from several people, who repeat a request with its key until it is answered."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from faults.harness.service import Service
from serving import until

WORDS: Final = ("blue cat", "red fox", "rocket", "owl with a crown", "green frog", "pizza", "lighthouse", "two bees")
SAMPLERS: Final = ("euler", "heun", "dpmpp_2m", "euler_ancestral", "faulty")
AT_ONCE: Final = 3
"""Jobs of one person that are not over."""


def wish(chance: random.Random) -> dict[str, Any]:
    """A request, small mostly."""
    options: dict[str, Any] = {"upscale": chance.random() < 0.15, "last_words": chance.random() < 0.2}
    return {
        "prompt": chance.choice(WORDS),
        "seed": chance.randrange(10**6),
        "steps": chance.choice((1, 1, 2, 2, 3, 4, 12)),
        "images": chance.choice((1, 1, 1, 1, 2, 3)),
        "sampler": chance.choice(SAMPLERS),
        "schedule": chance.choice(("normal", "karras")),
        "guidance": chance.choice((1.0, 5.0)),
        "options": options,
    }


@dataclass
class Asked:
    """What somebody asked for, and what became of it as far as they know."""

    key: str
    wish: dict[str, Any]
    address: str
    job_id: str | None = None
    cancelled: bool = False
    answers: int = 0
    """How often it was accepted: a client that did not hear the first time asks again."""


@dataclass
class Load:
    """People at work until :meth:`stop`. Each has an address of their own and stands in line for their own jobs."""

    service: Service
    seed: int
    people: int = 4
    asked: list[Asked] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.service.home / "mailbox/in").mkdir(parents=True)  # before the service starts, which looks for it
        self._stopping = threading.Event()

    def start(self) -> None:
        """Begin."""
        work = [(self._person, number) for number in range(self.people)] + [(self._letters, self.people)]
        self._threads = [threading.Thread(target=target, args=(number,)) for target, number in work]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """No new jobs; whatever was begun is answered first, every letter taken in. The service must be up."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(120)
        assert not any(thread.is_alive() for thread in self._threads), "somebody still waits for an answer"
        assert not self.problems, self.problems
        until(lambda: not any((self.service.home / "mailbox/in").iterdir()), "the letters to be taken in")

    # over HTTP ------------------------------------------------------------------------------------------------

    def _person(self, number: int) -> None:
        chance, address = random.Random(f"{self.seed}/{number}"), f"127.0.0.{number + 2}"
        open_jobs: list[str] = []
        count = 0
        while not self._stopping.is_set():
            asked = Asked(f"{number}-{count}", wish(chance), address, cancelled=chance.random() < 0.08)
            count += 1
            self.asked.append(asked)
            self._submit(asked)
            assert asked.job_id is not None
            if asked.cancelled:
                self._do("POST", f"/v1/jobs/{asked.job_id}/cancel", asked)
            elif chance.random() < 0.1:  # some do not hear the answer, and ask again
                self._submit(asked)
            open_jobs.append(asked.job_id)
            while len(open_jobs) >= AT_ONCE and not self._stopping.is_set():
                open_jobs = [each for each in open_jobs if not self._is_over(each, address)]
                self._stopping.wait(0.1)

    def _submit(self, asked: Asked) -> None:
        answer = self._do("POST", "/v1/jobs", asked, json=asked.wish, headers={"Idempotency-Key": asked.key})
        if answer.status_code != 201:
            self.problems.append(f"{asked.key}: {answer.status_code} {answer.text}")
            return
        job_id = answer.json()["job_id"]
        asked.answers += 1
        if asked.job_id not in (None, job_id):
            self.problems.append(f"{asked.key} is both {asked.job_id} and {job_id}")
        asked.job_id = job_id

    def _do(self, method: str, path: str, asked: Asked, **more: Any) -> httpx.Response:
        """Until it is answered, whoever has to be asked. A 503 is no answer."""
        while True:
            with contextlib.suppress(httpx.HTTPError):
                with self.service.client(asked.address, timeout=15) as client:
                    answer = client.request(method, path, **more)
                if answer.status_code < 500:
                    return answer
                if answer.status_code != 503:
                    self.problems.append(f"{method} {path}: {answer.status_code} {answer.text}")
            time.sleep(0.1)

    def _is_over(self, job_id: str, address: str) -> bool:
        """As far as can be known now."""
        try:
            with self.service.client(address, timeout=15) as client:
                answer = client.get(f"/v1/jobs/{job_id}")
        except httpx.HTTPError:
            return False
        if answer.status_code == 404:
            self.problems.append(f"{job_id} is unknown")
        return answer.status_code == 200 and answer.json()["status"] not in ("queued", "running")

    # through the outbox ---------------------------------------------------------------------------------------

    def _letters(self, number: int) -> None:
        chance, count = random.Random(f"{self.seed}/{number}"), 0
        folder = self.service.home / "mailbox"
        while not self._stopping.is_set():
            if count - len(_came(self.service)) < AT_ONCE:
                asked = Asked(f"{chance.choice('ab')}{count}", wish(chance), "mailbox")
                count += 1
                part = folder / f"{asked.key}.part"
                part.write_text(json.dumps(asked.wish), "utf-8")
                part.rename(folder / "in" / f"{asked.key}.json")
                self.asked.append(asked)
            self._stopping.wait(0.3)


@dataclass
class Tally:
    """What is wrong in the end. Empty is right."""

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    again: int = 0
    """Deliveries that were repeated, as they may be: the kill fell between the delivery and its record."""


def tally(load: Load) -> Tally:
    """Compare what was asked with what the database, the folder of pictures, the log and the mailbox hold."""
    service, found = load.service, Tally()
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in service.jobs():
        rows[row["key"]].append(row)
    recorded = _recorded(service.log)
    for asked in load.asked:
        mine = rows.pop(asked.key, [])
        if not mine or asked.job_id not in (None, mine[0]["id"]):
            found.lost.append(f"{asked.key}: accepted as {asked.job_id}, and not there: {mine}")
        if len(mine) > 1:
            found.doubled.append(f"{asked.key}: {len(mine)} jobs")
        for row in mine:
            found.lost += _wrong(service, asked, row)
            if recorded[row["id"]] > 1:
                found.doubled.append(f"{asked.key}: recorded {recorded[row['id']]} times")
    found.doubled += [f"{key}: a job that nobody asked for" for key in rows]
    _letters_of(load, found)
    return found


def _wrong(service: Service, asked: Asked, row: dict[str, Any]) -> list[str]:
    if row["status"] == "cancelled" and asked.cancelled:
        return []
    if row["status"] != "finished":
        return [f"{asked.key}: {row['status']}, {row['error']}"]
    try:
        drawn = service.pictures(row["id"])
    except (OSError, AssertionError) as error:
        return [f"{asked.key}: {error}"]
    return [] if len(drawn) == asked.wish["images"] else [f"{asked.key}: {len(drawn)} pictures"]


def _recorded(log: Path) -> defaultdict[str, int]:
    """How often each job was said to be finished: by the process that had just recorded it."""
    count: defaultdict[str, int] = defaultdict(int)
    for line in log.read_text("utf-8", "replace").splitlines():
        if line.endswith(" finished") and " job " in line:
            count[line.split()[-2]] += 1
    return count


def _letters_of(load: Load, found: Tally) -> None:
    sent = {asked.key for asked in load.asked if asked.address == "mailbox"}
    came = _came(load.service)
    found.lost += [f"{key}: never delivered" for key in sorted(sent - set(came))]
    found.again = len(came) - len(set(came))
    left = load.service.rows("SELECT count(*) AS number FROM outbox")[0]["number"]
    if left:
        found.lost.append(f"{left} deliveries are still in the outbox")


def _came(service: Service) -> list[str]:
    """Letters that were answered, as often as they were."""
    out = service.home / "mailbox/out.jsonl"
    lines = out.read_text("utf-8").splitlines(keepends=True) if out.exists() else []
    return [json.loads(line)["letter"] for line in lines if line.endswith("\n")]
