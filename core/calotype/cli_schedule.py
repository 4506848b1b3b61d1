"""``calotype schedule``: prompts that are submitted at set times. By the running server, or else on the database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from calotype.request import GUIDANCE_LIMIT, IMAGES_LIMIT, STEPS_LIMIT, Request

if TYPE_CHECKING:
    from calotype.config import Settings
    from calotype.home import Home
    from calotype.person import Person
    from calotype.timetable import Timetable

schedule_app = typer.Typer(help="Have prompts submitted at set times.", rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@schedule_app.command("add")
def add(
    cron: Annotated[str, typer.Argument(help="When, e.g. '0 9 * * mon' or @daily.")],
    prompt: Annotated[str, typer.Argument(help="What the picture shows.")],
    timezone: Annotated[str, typer.Option(help="Of these times, e.g. Europe/Berlin.")] = "UTC",
    owner: Annotated[str | None, typer.Option(help="Account in whose name, e.g. discord:123; else yours.")] = None,
    channel: Annotated[str | None, typer.Option(help="Where to post it, e.g. discord:456; else it is kept.")] = None,
    negative: Annotated[str | None, typer.Option(help="What it should not show.")] = None,
    steps: Annotated[int | None, typer.Option(help=f"Steps of the sampler, 1 to {STEPS_LIMIT}.")] = None,
    sampler: Annotated[str | None, typer.Option(help="Sampler by name, e.g. euler.")] = None,
    guidance: Annotated[float | None, typer.Option(help=f"Pull towards the prompt, 1 to {GUIDANCE_LIMIT:g}.")] = None,
    images: Annotated[int | None, typer.Option(help=f"Number of pictures, 1 to {IMAGES_LIMIT}.")] = None,
    model: Annotated[str | None, typer.Option(help="Model by name.")] = None,
    as_json: AsJson = False,
) -> int:
    """Add a prompt; each time it is a job like any other, and counts for its owner."""
    fields = {
        "prompt": prompt, "negative_prompt": negative, "steps": steps, "sampler": sampler, "guidance": guidance,
        "images": images, "model": model,
    }  # fmt: skip
    given = {name: value for name, value in fields.items() if value is not None}
    body: dict[str, Any] = {"cron": cron, "timezone": timezone, "request": given}
    if owner is not None:
        body["owner"] = owner
    if channel is not None:
        body["reply_to"] = _reply_to(channel)
    found = _ask("POST", "/v1/schedule", body)
    typer.echo(json.dumps(found) if as_json else f"{found['id']}: next at {found['next']}")
    return 0


@schedule_app.command("list")
def list_(as_json: AsJson = False) -> int:
    """List what is scheduled, with the next time and why the last one was refused, if it was."""
    found = _ask("GET", "/v1/schedule")["data"]
    if as_json:
        typer.echo(json.dumps(found))
        return 0
    if not found:
        typer.echo("nothing is scheduled", err=True)
    for each in found:
        typer.echo(f"{each['id']}: {each['cron']} ({each['timezone']}), {each['owner']}: {each['request']['prompt']}")
        typer.echo(f"   next at {each['next']}" + (f"; the last one failed: {each['error']}" if each["error"] else ""))
    return 0


@schedule_app.command("remove")
def remove(
    prompt_id: Annotated[int, typer.Argument(metavar="ID", min=1, help="Its number, as list shows it.")],
    as_json: AsJson = False,
) -> int:
    """End one; what it has made stays."""
    found = _ask("DELETE", f"/v1/schedule/{prompt_id}")
    typer.echo(json.dumps(found) if as_json else f"{prompt_id}: removed")
    return 0


def _reply_to(channel: str) -> Mapping[str, Any]:
    from calotype import frontend
    from calotype.errors import BadRequest

    name, _, rest = channel.partition(":")
    front_ends = {each.name: each for each in frontend.discover()}
    if name not in front_ends or not rest:
        raise BadRequest.of("channel", f"{channel[:40]!r} is not FRONT_END:CHANNEL, e.g. discord:456")
    return front_ends[name].reply_to(rest)


def _ask(method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
    from calotype import logs
    from calotype.config import Settings
    from calotype.home import Home

    logs.set_up("WARNING")
    settings = Settings.load()
    return asyncio.run(_answer(settings, Home.of(settings), method, path, body))


async def _answer(
    settings: Settings, home: Home, method: str, path: str, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    from calotype.darkroom import owner

    server = await owner(home)
    if server is not None:
        from calotype.remote import Remote

        remote = Remote(server)
        try:
            return await remote.ask(method, path, body)
        finally:
            await remote.close()
    try:
        return await _here(settings, home, lambda timetable: _act(timetable, method, path, body))
    finally:
        home.release()


async def _here(
    settings: Settings, home: Home, act: Callable[[Timetable], Awaitable[dict[str, Any]]]
) -> dict[str, Any]:
    """On the database itself; whatever is added is submitted while a service runs."""
    from calotype.bootstrap import catalog_for, moderation_for
    from calotype.errors import SetupError
    from calotype.ledger import Ledger, upgrade
    from calotype.timetable import Timetable

    async def check(request: Request, person: Person) -> None:
        await moderation.check_prompt(catalog.resolve(request), person)

    async def submit(*_: Any, **__: Any) -> Any:
        raise SetupError("schedule: nothing is submitted without a service")

    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    catalog = catalog_for(settings)
    await asyncio.to_thread(upgrade, url, home.backups)
    ledger = Ledger(url, settings.limits)
    try:
        moderation = moderation_for(settings, home, ledger, catalog.registry.reviews)
        return await act(Timetable(ledger.timetable, check, submit))
    finally:
        ledger.close()


async def _act(timetable: Timetable, method: str, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
    """As the server's routes do."""
    from calotype.person import OPERATOR
    from calotype.timetable import add_from, listed, removed

    if method == "GET":
        return await listed(timetable, OPERATOR)
    if method == "POST":
        return await add_from(timetable, body or {}, OPERATOR)
    return await removed(timetable, int(path.rpartition("/")[2]), OPERATOR)
