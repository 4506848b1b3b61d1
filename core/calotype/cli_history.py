"""``calotype history``: search it, take it along, erase somebody's. By the running server, or else on the database."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

if TYPE_CHECKING:
    from calotype.images.store import ImageStore
    from calotype.ledger import Ledger
    from calotype.remote import Remote

_ERASING: Final = 900.0
"""Seconds that a server may take to erase somebody with a long history."""
_SHOWN: Final = 60
"""Characters of a prompt in a line."""
history_app = typer.Typer(help="Search the history; export it; erase a person's.", rich_markup_mode=None)
Whose = Annotated[str | None, typer.Option(help="Only theirs: any account, e.g. discord:123.")]


@history_app.command("search")
def search(
    words: Annotated[
        str, typer.Argument(help='Words of the prompt; the last may be unfinished; "in this order".')
    ] = "",
    person: Whose = None,
    guild: Annotated[str | None, typer.Option(help="Only from this Discord server.")] = None,
    model: Annotated[str | None, typer.Option(help="Only by this model.")] = None,
    sampler: Annotated[str | None, typer.Option(help="Only by this sampler.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Submitted on this day (UTC) or later.")] = None,
    until: Annotated[str | None, typer.Option("--to", help="Submitted on this day or earlier.")] = None,
    favourite: Annotated[bool, typer.Option("--favourite", help="Favourites only.")] = False,
    status: Annotated[str | None, typer.Option(help="queued, running, finished, failed or cancelled.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 20,
    before: Annotated[str | None, typer.Option(help="Go on behind this job, the last one seen.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Find jobs by the words of their prompts, newest first."""
    from calotype import searching

    given = {
        "q": words or None, "person": person, "guild": guild, "model": model, "sampler": sampler, "from": since,
        "to": until, "favourite": "true" if favourite else None, "status": status, "limit": str(limit),
        "before": before,
    }  # fmt: skip
    query = {name: value for name, value in given.items() if value is not None}
    searching.filters_of(query)  # what is wrong is said before anything is opened
    found = asyncio.run(_search(query))
    if as_json:
        typer.echo(json.dumps(found))
        return 0
    _list(found["data"])
    if not found["data"]:
        typer.echo("nothing was found", err=True)
    if found["has_more"]:
        typer.echo(f"there are more: --before {found['data'][-1]['job_id']}", err=True)
    return 0


@history_app.command("export")
def export(
    output: Annotated[Path, typer.Option("--output", "-o", help="The zip file to write.")],
    person: Whose = None,
) -> int:
    """Write a zip of pictures and history.json: everybody's, or one person's with all that is known about them."""
    from calotype.errors import BadRequest

    if output.suffix.lower() != ".zip":
        raise BadRequest.of("output", f"{str(output)!r} does not end in .zip")
    if not output.parent.is_dir() or output.is_dir():
        raise BadRequest.of("output", f"{str(output)!r} cannot be a file there; name one in a folder that exists")
    asyncio.run(_export(output, person))
    typer.echo(f"{output}  {output.stat().st_size / 10**6:.1f} MB")
    return 0


@history_app.command("erase")
def erase(
    person: Annotated[str, typer.Option(help="Whom: any account of theirs, e.g. discord:123.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON and nothing else.")] = False,
) -> int:
    """Erase a person for good: jobs, pictures, uploads, deliveries, accounts. Says what was removed and what is left.

    Exit code 0: nothing is left but what must stay. 1: something is, and the report says what.
    """
    from calotype.errors import BadRequest

    if not yes:
        if not sys.stdin.isatty():
            raise BadRequest.of("yes", "is missing; nobody can be asked here, so say --yes")
        if not typer.confirm(f"Erase {person} with every job and picture? It cannot be undone"):
            typer.echo("nothing was erased", err=True)
            return 1
    report = asyncio.run(_erase(person))
    if as_json:
        typer.echo(json.dumps(report))
    else:
        _tell(report)
    return 0 if report["complete"] else 1


async def _search(query: Mapping[str, str]) -> dict[str, Any]:
    from urllib.parse import urlencode

    from calotype import searching

    async with _at_work() as place:
        if not isinstance(place, tuple):
            return await place.ask("GET", f"/v1/history?{urlencode(query)}")
        ledger, _ = place
        limit, filters = searching.limit_of(query), searching.filters_of(query)
        found = ledger.archive.search(query.get("q", ""), filters, limit=limit + 1, before=query.get("before"))
        return searching.page(found, limit, people=True)


async def _export(output: Path, person: str | None) -> None:
    from urllib.parse import urlencode

    from calotype.errors import SetupError
    from calotype.exporting import export as write

    async with _at_work() as place:
        if isinstance(place, tuple):
            write(*place, person, output)
            return
        query = "" if person is None else f"?{urlencode({'person': person})}"
        beside = output.with_name(f".{output.name[:60]}.{secrets.token_hex(4)}.tmp")
        try:
            with beside.open("xb") as file:
                await place.download(f"/v1/export{query}", file)
            beside.replace(output)
        except OSError as error:
            raise SetupError(f"output: {str(output)!r} cannot be written: {error.strerror or error}") from None
        finally:
            beside.unlink(missing_ok=True)


async def _erase(person: str) -> dict[str, Any]:
    from urllib.parse import urlencode

    from calotype.erasure import erase_person, require_known
    from calotype.person import OPERATOR

    async with _at_work() as place:
        if not isinstance(place, tuple):
            return await place.ask("DELETE", f"/v1/me?{urlencode({'person': person})}", seconds=_ERASING)
        ledger, store = place
        require_known(ledger, person)
        return erase_person(ledger, store, person, OPERATOR.key, cancel=ledger.cancel).as_json()


@asynccontextmanager
async def _at_work() -> AsyncIterator[Remote | tuple[Ledger, ImageStore]]:
    """The server that owns the home, or else its ledger and pictures: then no engine is running."""
    from calotype import logs
    from calotype.config import Settings
    from calotype.darkroom import owner
    from calotype.home import Home

    logs.set_up("WARNING")
    settings = Settings.load()
    home = Home.of(settings)
    server = await owner(home)
    if server is not None:
        from calotype.remote import Remote

        remote = Remote(server)
        try:
            yield remote
        finally:
            await remote.close()
        return
    from calotype.images.store import ImageStore
    from calotype.ledger import open_ledger

    try:
        url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
        ledger = open_ledger(url, home.backups)
        try:
            yield ledger, ImageStore(home.images)
        finally:
            ledger.close()
    finally:
        home.release()


def _list(jobs: Sequence[Mapping[str, Any]]) -> None:
    for job in jobs:
        prompt = " ".join(job["request"]["prompt"].split())
        shown = prompt if len(prompt) <= _SHOWN else f"{prompt[: _SHOWN - 1]}…"
        mark = "*" if job["favourite"] else " "
        typer.echo(
            f"{job['created'][:16]}  {job['job_id']}  {job['status']:<9} {mark} {job.get('person', '')}  {shown}"
        )


def _tell(report: Mapping[str, Any]) -> None:
    removed, kept = report["removed"], report["kept"]
    rows = ", ".join(f"{count} {table}" for table, count in removed["rows"].items() if count) or "no rows"
    typer.echo(f"removed: {rows}; {removed['files']} picture files")
    for key, why in kept["keys"].items():
        typer.echo(f"kept: the key {key}, for {why}")
    if kept["shared_files"]:
        typer.echo(f"kept: {kept['shared_files']} picture files that jobs or uploads of others name too")
    if kept["waiting_files"]:
        typer.echo(
            f"waiting: {kept['waiting_files']} picture files go with the daily sweep: they were put a moment ago"
        )
    left = ", ".join(f"{count} in {table}" for table, count in report["left"].items() if count) or "nothing"
    typer.echo(f"looked at {len(report['left'])} tables and the files; left: {left}")
