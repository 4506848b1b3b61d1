"""kill -9 at random times, again and again, while several people's mixed jobs are made: nothing lost, nothing twice.

``KILLS`` (100) on each database. ``SEED`` repeats times, processes and jobs, though not the machine's own pace.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter

import pytest

from faults.conftest import Open, Record
from faults.harness import service as services
from faults.harness.load import Load, tally
from faults.harness.progress import Bar
from faults.harness.service import ALONE, SEVERAL, Kind, Service
from serving import until

KILLS = int(os.environ.get("KILLS", "100"))
SAMPLE = 8
"""Jobs that are made again in peace at the end, to compare their bytes."""


@pytest.mark.parametrize(
    ("database", "kinds"),
    [("SQLite", ALONE), ("PostgreSQL", ALONE), ("PostgreSQL", SEVERAL)],
    ids=["one_process-SQLite", "one_process-PostgreSQL", "several_processes"],
    indirect=["database"],
)
def test_random_kills(open_service: Open, database: str, record: Record, kinds: tuple[Kind, ...]) -> None:
    # here it is us who kill: that a job was running three times when we did says nothing of the job
    service = open_service(kinds=kinds, CALOTYPE_ATTEMPTS="1000", CALOTYPE_POSTPROCESS_SECONDS="30")
    chance = random.Random(f"{services.seed()}/{database}/{len(kinds)}")
    load = Load(service, services.seed())
    killed: Counter[str] = Counter()
    load.start()
    bar, answered = Bar(f"{database}: kills", KILLS), []
    service.start()
    for kill in range(KILLS):
        bar.show(kill, f"{len(load.asked)} jobs")
        victim = chance.choice(kinds)
        _let_it_work(service, chance)
        service.processes[victim.name].kill()
        killed[victim.name] += 1
        begun = time.monotonic()
        service.start(victim)
        if len(kinds) > 1:
            service.until_ready()
        answered.append(time.monotonic() - begun)
    bar.show(KILLS, f"{len(load.asked)} jobs")
    load.stop()
    service.until_over()
    _until_delivered(service)
    found = tally(load)
    differ = _made_again_in_peace(service, load, chance)
    lost = [*found.lost, *differ]
    print("\n".join([*lost, *found.doubled]))  # noqa: T201 - pytest shows it where the test fails
    note = (
        f"{found.again} deliveries repeated, {min(SAMPLE, len(load.asked))} pictures compared with those of a quiet run"
    )
    fault = "random kill -9"
    if len(kinds) > 1:
        fault = f"random kill -9, {len(kinds)} processes"
        note = ", ".join(f"{name} {number} times" for name, number in sorted(killed.items())) + f"; {note}"
    jobs, lost_jobs, doubled = len(load.asked), len(lost), len(found.doubled)
    record(fault, runs=KILLS, jobs=jobs, lost=lost_jobs, doubled=doubled, recovery=answered, note=note)


def _let_it_work(service: Service, chance: random.Random) -> None:
    """A third of the kills fall while it starts, the rest within some seconds of work."""
    if chance.random() < 0.33:
        time.sleep(chance.uniform(0.0, 2.0))
    else:
        service.until_ready()
        time.sleep(chance.uniform(0.0, 4.0))


def _until_delivered(service: Service) -> None:
    service.until_over()
    until(lambda: service.rows("SELECT count(*) AS number FROM outbox")[0]["number"] == 0, "the outbox to be empty")


def _made_again_in_peace(service: Service, load: Load, chance: random.Random) -> list[str]:
    """Jobs whose pictures are others than those of the same request now, when nobody disturbs it."""
    of_key = {row["key"]: row for row in service.jobs()}
    finished = [each for each in load.asked if of_key[each.key]["status"] == "finished"]
    sample = chance.sample(finished, min(SAMPLE, len(finished)))
    again = {asked.key: service.submit(asked.wish) for asked in sample}
    service.until_over(*again.values())
    pairs = {key: (service.pictures(of_key[key]["id"]), service.pictures(job_id)) for key, job_id in again.items()}
    return [f"{key}: other pictures than in peace" for key, (made, quiet) in pairs.items() if made != quiet]
