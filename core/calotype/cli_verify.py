"""``calotype verify``: makes a picture again and says whether it is the same.

The engine is this process' own, beside whatever service runs: so it can take the number of threads that the picture was
made with, and neither the queue nor the history hears of it. Nothing is written.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

from calotype import logs
from calotype.bootstrap import catalog_for, open_host
from calotype.catalog import Catalog
from calotype.checkpoint import inspect
from calotype.config import Settings
from calotype.home import Home, default_threads
from calotype.images.store import ImageStore
from calotype.verifying import LARGEST, MEAN, Comparison, Conditions, Verdict, compare, judge

if TYPE_CHECKING:
    from calotype.engine.assignment import Host, HostListener
    from calotype.rerendering import Again
    from calotype.retracing import Subject

_SHOWN: Final = 60
"""Characters of a value in the table."""
_DEVICES: Final = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Wish:
    """The command's words, not yet checked. None: as it was made then."""

    what: str
    index: int | None = None
    model: Path | None = None
    threads: int | None = None
    device: str | None = None
    as_json: bool = False


@dataclass(frozen=True)
class Finding:
    """What became of one picture."""

    index: int
    seed: int
    sha256: str
    now: str
    """sha256 of the file that was made now."""
    verdict: Verdict
    conditions: Conditions
    comparison: Comparison
    remarks: tuple[str, ...]


def run(wish: Wish) -> int:
    """Make it again; the exit code. Raises :class:`calotype.errors.CalotypeError` for all that goes wrong."""
    from calotype.ledger import LedgerReader
    from calotype.retracing import find

    logs.set_up("ERROR")
    begun = time.monotonic()
    settings = Settings.load(device=wish.device)
    home = Home.of(settings)
    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    store = ImageStore(home.images, create=False)
    subject = find(LedgerReader(url), store, wish.what, wish.index)
    catalog = catalog_for(settings)
    findings = verify(wish, settings, home, catalog, store, subject)
    good = all(each.verdict.good for each in findings)
    if wish.as_json:
        typer.echo(json.dumps(report(subject, findings, time.monotonic() - begun)))
    else:
        typer.echo("\n".join(told(subject, findings)))
    return 0 if good else 1


def verify(
    wish: Wish, settings: Settings, home: Home, catalog: Catalog, store: ImageStore, subject: Subject
) -> list[Finding]:
    """One finding a picture. Raises :class:`calotype.errors.CalotypeError` if it cannot be made again."""
    from calotype.cli_progress import ProgressLine
    from calotype.dispatch.assigning import plugins_of
    from calotype.rerendering import render
    from calotype.retracing import retrace

    record = subject.job.record
    model = inspect(wish.model) if wish.model is not None else None
    ways = {p.index: retrace(catalog, store, subject, p, model) for p in subject.pictures}
    ways = {
        index: (replace(assignment, job_id=f"{subject.job.id}/{index}"), more)
        for index, (assignment, more) in ways.items()
    }
    threads = wish.threads or _recorded_threads(record) or settings.threads or home.written_threads()
    chosen = settings.model_copy(update={"device": wish.device or _device(record)})
    make_host = partial(_host, chosen, threads or default_threads())
    with ProgressLine(quiet=wish.as_json) as line:
        line.say("loading the model…")
        done = render(make_host, [way for way, _ in ways.values()], partial(line.show, loading=False))
    findings = []
    for picture in subject.pictures:
        assignment, more = ways[picture.index]
        again = done[assignment.job_id]
        now = {**again.record, **plugins_of(catalog, assignment)}
        conditions = Conditions.between(record, now, more)
        found = compare(picture.sha256, subject.files.get(picture.index), again.picture.png)
        verdict = judge(found, conditions, removed=picture.index in subject.removed)
        remarks = _remarks(subject, picture.index, picture.notes, again)
        findings.append(
            Finding(
                picture.index, picture.seed, picture.sha256, _sha256(again), verdict, conditions, found, remarks,
            )
        )  # fmt: skip
    return findings


def _host(settings: Settings, threads: int, listener: HostListener) -> Host:
    return open_host(settings, listener, threads)


def _recorded_threads(record: Mapping[str, Any]) -> int | None:
    threads = record.get("threads")
    return threads if isinstance(threads, int) and threads > 0 else None


def _device(record: Mapping[str, Any]) -> str:
    """That of then, if this machine has it; else the best there is."""
    from calotype.engine.models import resolve_device
    from calotype.errors import SetupError

    then = str(record.get("device", "cpu")).partition(":")[0]
    if then not in _DEVICES:
        return "auto"
    try:
        return resolve_device(then).type
    except SetupError:
        return "auto"


def _sha256(again: Again) -> str:
    from calotype.images.store import name_of

    return name_of(again.picture.png)


def _remarks(subject: Subject, index: int, notes: Sequence[str], again: Again) -> tuple[str, ...]:
    problem = subject.problems.get(index)
    skipped = [f"then: {note}; so it was left out now as well" for note in notes if " was skipped: " in note]
    new = [f"now: {note}" for note in again.picture.notes if " was skipped: " in note]
    return (*([problem] if problem else []), *skipped, *new)


def told(subject: Subject, findings: Sequence[Finding]) -> list[str]:
    """The answer for people, line by line."""
    job, request = subject.job, subject.job.request
    made = f"{job.finished:%Y-%m-%d %H:%M} UTC" if job.finished else "at an unknown time"
    lines = [f"job {job.id}, made {made}: {request.prompt!r}, {request.sampler}, {request.schedule}, {request.model}"]
    lines += _table(findings[0].conditions)
    for each in findings:
        lines.append(f"picture {each.index}, seed {each.seed}: {_words(each)}")
        lines += [f"  {remark}" for remark in each.remarks]
    return lines


def _table(conditions: Conditions) -> list[str]:
    """What is not as it was, in columns."""
    rows = [("", "then", "now"), *((d.what, _short(d.then), _short(d.now)) for d in conditions.differences)]
    lines = []
    if len(rows) > 1:
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if conditions.unknown:
        lines.append(f"its record does not tell: {', '.join(conditions.unknown)}")
    return lines or ["conditions: all the same as then"]


def _short(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"


def _words(finding: Finding) -> str:
    found = finding.comparison
    match finding.verdict:
        case Verdict.SAME:
            return f"the same, bit for bit ({finding.sha256[:12]}…)"
        case Verdict.SAME_PIXELS:
            return "the same pixels, bit for bit; the file was encoded otherwise"
        case Verdict.WITHIN:
            return f"not the same bits, as close as other conditions may make it: {_apart(found)}"
        case Verdict.REMOVED:
            return "not the same bits, under other conditions; how close cannot be told: it was removed by the operator"
        case Verdict.DIFFERENT:
            return f"DIFFERENT: {_apart(found)}"
        case Verdict.UNEXPLAINED:
            return (
                f"NOT THE SAME ALTHOUGH EVERY CONDITION IS: {_apart(found)}. That should never be: a plugin draws its "
                "chance from elsewhere than its seed, a file was changed, or it is our fault; please report it"
            )


def _apart(found: Comparison) -> str:
    if found.same_pixels:
        return "the same pixels in another file"
    if found.largest is None or found.mean is None:
        sizes = f"{found.size[0]}x{found.size[1]} then" if found.size else "by how much cannot be told"
        return f"{sizes}, {found.size_now[0]}x{found.size_now[1]} now" if found.size_now else sizes
    return (
        f"channels differ by {max(found.largest)} of 255 at most (tolerance {LARGEST}), "
        f"by {max(found.mean):.4f} on average (tolerance {MEAN})"
    )


def report(subject: Subject, findings: Sequence[Finding], seconds: float) -> dict[str, Any]:
    """What ``--json`` prints. Differences of channels are of 255: red, green, blue."""
    return {
        "job_id": subject.job.id,
        "good": all(each.verdict.good for each in findings),
        "tolerance": {"largest": LARGEST, "mean": MEAN},
        "pictures": [
            {
                "index": each.index,
                "seed": each.seed,
                "verdict": each.verdict.value,
                "sha256": each.sha256,
                "sha256_now": each.now,
                "same_pixels": each.comparison.same_pixels,
                "largest": each.comparison.largest,
                "mean": each.comparison.mean,
                "same_conditions": each.conditions.same,
                "differences": [{"what": d.what, "then": d.then, "now": d.now} for d in each.conditions.differences],
                "not_recorded": list(each.conditions.unknown),
                "remarks": list(each.remarks),
            }
            for each in findings
        ],
        "seconds": round(seconds, 3),
    }
