"""``calotype models``: which models there are. At the running server if there is one, else in the data folder."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import quote

import typer

if TYPE_CHECKING:
    from calotype.config import Settings
    from calotype.home import Home

models_app = typer.Typer(help="Add models, list them, take them off.", rich_markup_mode=None)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]


@models_app.command("add")
def add(
    model: Annotated[str, typer.Argument(metavar="PATH|HUB_ID", help="A diffusers folder, a file, or a hub id.")],
    name: Annotated[str | None, typer.Option(help="How it is asked for. [default: that of its folder]")] = None,
    sha256: Annotated[str | None, typer.Option(help="What its files must be, as list --json shows it.")] = None,
    as_json: AsJson = False,
) -> int:
    """Offer a model. All its files are read once: whenever it is loaded, they must be the same."""
    path = Path(model).expanduser()
    what = str(path.absolute()) if path.exists() else model  # the server works elsewhere
    if sys.stderr.isatty() and not as_json:
        typer.echo("reading its files…", err=True)
    given = {"name": name, "sha256": sha256}
    found = _ask("POST", "/v1/models", {"model": what, **{key: value for key, value in given.items() if value}})
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo(f"{found['name']}: {found['family']}, {found['size']}, sha256 {found['sha256']}")
    return 0


@models_app.command("list")
def list_(as_json: AsJson = False) -> int:
    """List the models that can be asked for."""
    found = _ask("GET", "/v1/models/added")["data"]
    if as_json:
        typer.echo(json.dumps(found))
        return 0
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "family", "size", "parameters", "sha256", "folder", box=None, pad_edge=False)
    for each in found:
        name = f"{each['name']} (default)" if each["default"] else each["name"]
        digest = f"{each['sha256'][:12]}…" if each["sha256"] else "–"
        table.add_row(name, each["family"], each["size"], f"{each['parameters']:,}", digest, each["folder"])
    Console().print(table)
    return 0


@models_app.command("remove")
def remove(name: Annotated[str, typer.Argument(help="As list shows it.")], as_json: AsJson = False) -> int:
    """Offer a model no more. Its files stay where they are."""
    found = _ask("DELETE", f"/v1/models/{quote(name, safe='')}")
    typer.echo(json.dumps(found) if as_json else f"{name}: removed; its files stay in {found['folder']}")
    return 0


@models_app.command("default")
def default(name: Annotated[str, typer.Argument(help="As list shows it.")], as_json: AsJson = False) -> int:
    """Use a model where a request names none."""
    found = _ask("POST", f"/v1/models/{quote(name, safe='')}/default")
    typer.echo(json.dumps(found) if as_json else f"{name}: is used where a request names none")
    return 0


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
            return await remote.ask(method, path, body, seconds=3600)  # it may have to be fetched
        finally:
            await remote.close()
    try:
        return await _here(settings, home, method, path, body)
    finally:
        home.release()


async def _here(
    settings: Settings, home: Home, method: str, path: str, body: Mapping[str, Any] | None
) -> dict[str, Any]:
    """As the server's routes do."""
    from urllib.parse import unquote

    from calotype.bootstrap import catalog_for
    from calotype.model_list import ModelList
    from calotype.models import Models, add_from, described
    from calotype.person import OPERATOR

    catalog = catalog_for(settings)
    models = Models(catalog, ModelList(home.model_list))
    if method == "GET":
        return {"data": [described(catalog, model) for model in catalog.models.values()]}
    name = unquote(path.removeprefix("/v1/models").strip("/").removesuffix("/default"))
    if method == "DELETE":
        return described(catalog, await models.remove(name, OPERATOR))
    model = await (models.use(name, OPERATOR) if name else add_from(models, body or {}, OPERATOR))
    return described(catalog, model)
