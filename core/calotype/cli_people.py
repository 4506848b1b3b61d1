"""``calotype people``: who is here, their roles, bans and links. By the running server, or else on the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

people_app = typer.Typer(help="Look at people; give roles, ban, link.", rich_markup_mode=None)
Key = Annotated[str, typer.Argument(metavar="PERSON", help="Any account of theirs, e.g. discord:123.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@people_app.command("list")
def list_(
    search: Annotated[str, typer.Option(help="Only those in whose name or accounts this stands.")] = "",
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 100,
    after: Annotated[str, typer.Option(help="Go on behind this key, the last one seen.")] = "",
    as_json: AsJson = False,
) -> int:
    """List people with their role, their jobs and what they spent today."""
    found = _ask("list", {"search": search, "limit": limit, "after": after})
    if as_json:
        typer.echo(json.dumps(found["data"]))
        return 0
    _table(found["data"])
    if found["has_more"]:
        typer.echo(f"there are more: --after {found['data'][-1]['key']}", err=True)
    return 0


@people_app.command("show")
def show(person: Key, as_json: AsJson = False) -> int:
    """Show one person: every account, role, jobs, budget, ban."""
    return _shown(_ask("show", {"person": person}), as_json)


@people_app.command("role")
def role(
    person: Key,
    role: Annotated[str, typer.Argument(help="A role of CALOTYPE_ROLES, e.g. patron.")],
    as_json: AsJson = False,
) -> int:
    """Give a person a role; its weight acts at once, also on what waits."""
    return _shown(_ask("role", {"person": person, "role": role}), as_json)


@people_app.command("ban")
def ban(person: Key, reason: Annotated[str, typer.Option(help="Why; they read it.")], as_json: AsJson = False) -> int:
    """Take nothing from a person any more, and cancel what waits or runs of theirs."""
    return _shown(_ask("ban", {"person": person, "reason": reason}), as_json)


@people_app.command("unban")
def unban(person: Key, as_json: AsJson = False) -> int:
    """Welcome a person again."""
    return _shown(_ask("unban", {"person": person}), as_json)


@people_app.command("link-code")
def link_code(person: Key, as_json: AsJson = False) -> int:
    """Make a code for a person: another account that shows it within ten minutes becomes theirs."""
    found = _ask("link-code", {"person": person})
    typer.echo(json.dumps(found) if as_json else f"{found['code']}  until {found['expires']}")
    return 0


def _ask(act: str, body: Mapping[str, Any]) -> dict[str, Any]:
    from calotype import logs
    from calotype.config import Settings
    from calotype.home import Home

    logs.set_up("WARNING")
    settings = Settings.load()
    return asyncio.run(_answer(settings, Home.of(settings), act, body))


async def _answer(settings: Any, home: Any, act: str, body: Mapping[str, Any]) -> dict[str, Any]:
    from calotype.darkroom import owner

    server = await owner(home)
    if server is not None:
        from urllib.parse import urlencode

        from calotype.remote import Remote

        remote = Remote(server)
        try:
            if act == "list":
                return await remote.ask("GET", f"/v1/people?{urlencode(body)}")
            return await remote.ask("POST", f"/v1/people/{act}", body)
        finally:
            await remote.close()
    try:
        return await _here(settings, home, act, body)
    finally:
        home.release()


async def _here(settings: Any, home: Any, act: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """On the database itself: nobody else works on it, so no engine has to be told."""
    from calotype.ledger import Ledger, upgrade
    from calotype.people import People, act_on, listed
    from calotype.person import OPERATOR

    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    await asyncio.to_thread(upgrade, url, home.backups)
    ledger = Ledger(url, settings.limits)
    try:
        people = People(ledger.people, lambda job_id: None)
        if act == "list":
            return await listed(people, OPERATOR, body["limit"], body["after"], body["search"])
        return await act_on(people, act, body)
    finally:
        ledger.close()


def _shown(found: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        typer.echo(json.dumps(found))
        return 0
    for name, value in found.items():
        if value is None or value == "":
            continue
        shown = ", ".join(value) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else value
        typer.echo(f"{name.replace('_', ' '):<13} {shown}")
    return 0


def _table(people: Sequence[Mapping[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    # whole however narrow the terminal: it is what the other commands ask for
    longest = max((len(each["key"]) + 4 for each in people), default=0)
    who = Column("person", no_wrap=True, min_width=longest)
    table = Table(who, "name", "role", "weight", "queued", "running", "spent today", "banned", box=None)
    for each in people:
        budget = "" if each["daily_budget"] is None else f" of {each['daily_budget']:g}"
        others = len(each["accounts"]) - 1
        key = f"{each['key']} +{others}" if others else each["key"]
        figures = (f"{each['weight']:g}", str(each["queued"]), str(each["running"]), f"{each['spent']:.3g}{budget}")
        table.add_row(key, each["name"], each["role"], *figures, each["ban_reason"] or "")
    console = Console(markup=False)
    if not console.is_terminal:  # a file or another program has no margin
        console.width = 200
    console.print(table)
