"""``calotype db``: the database upgraded, looked after, copied and brought back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from calotype.home import Home
    from calotype.ledger.check import Finding

db_app = typer.Typer(help="Upgrade, check, back up and restore the database.", rich_markup_mode=None)


@db_app.command("upgrade")
def upgrade() -> int:
    """Create the database or bring it to this version's schema, as a start of the service does."""
    from calotype.ledger import migrate

    home, url = _place()
    if home.folder.is_dir() and migrate.current(url) == migrate.head():
        typer.echo(f"{_name(url)}: schema {migrate.head()}, nothing to do")
        return 0
    with _owned(home):
        before = migrate.current(url)
        migrate.upgrade(url, home.backups)
    typer.echo(f"{_name(url)}: schema {migrate.head()}" + (f", was {before}" if before else ", new"))
    return 0


@db_app.command("check")
def check(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
) -> int:
    """Look whether database and pictures are as they should be; exit code 1 if anything is wrong. Changes nothing."""
    from calotype.ledger.check import check as looked

    home, url = _place()
    findings = looked(url, _Files(home.images))
    ok = all(finding.ok is not False for finding in findings)
    if as_json:
        rows = [{"about": each.about, "ok": each.ok, "told": each.told} for each in findings]
        typer.echo(json.dumps({"ok": ok, "findings": rows}))
    else:
        _show(findings)
    return 0 if ok else 1


@db_app.command("backup")
def backup(file: Annotated[Path, typer.Argument(help="The file to write, e.g. calotype.zip; it must be new.")]) -> int:
    """Copy the database into one file, also while the service runs. Pictures are files; copy their folder beside it."""
    from calotype.ledger.backup import back_up

    home, url = _place()
    manifest = back_up(url, file)
    typer.echo(f"{file}: schema {manifest.schema}, {manifest.rows.get('jobs', 0)} jobs of {_name(url)}")
    typer.echo(f"its pictures are in {home.images}; copy that folder too")
    return 0


@db_app.command("restore")
def restore(
    file: Annotated[Path, typer.Argument(help="A file that 'calotype db backup' wrote.")],
    force: Annotated[bool, typer.Option("--force", help="Replace what is there, after a backup of it.")] = False,
) -> int:
    """Fill a new or empty database from a backup, of either kind of database. The service must be stopped."""
    from calotype.ledger import migrate
    from calotype.ledger.restore import restore as restored

    home, url = _place()
    with _owned(home):
        done = restored(url, file, replace=force, backup_dir=home.backups)
    if done.kept is not None:
        typer.echo(f"what was there before is kept in {done.kept}")
    manifest = done.manifest
    upgraded = "" if manifest.schema == migrate.head() else f", upgraded from schema {manifest.schema}"
    typer.echo(f"{_name(url)}: {manifest.rows.get('jobs', 0)} jobs as of {manifest.made}{upgraded}")
    return 0


class _Files:
    """The image store, without the folder being made by looking."""

    def __init__(self, folder: Path) -> None:
        from calotype.images.store import ImageStore

        self._store = ImageStore(folder) if folder.is_dir() else None

    def has(self, sha256: str) -> bool:
        return self._store is not None and self._store.has(sha256)

    def names(self) -> Iterator[str]:
        return iter(()) if self._store is None else (stored.sha256 for stored in self._store)


def _place() -> tuple[Home, str]:
    """The home, and the URL of the database."""
    from calotype import logs
    from calotype.config import Settings
    from calotype.home import Home

    logs.set_up("WARNING")
    settings = Settings.load()
    home = Home.of(settings)
    url = home.database_url if settings.database_url is None else settings.database_url.get_secret_value()
    return home, url


def _name(url: str) -> str:
    from calotype.ledger.database import place

    return place(url)


@contextmanager
def _owned(home: Home) -> Iterator[None]:
    """The home is this process's. Raises :class:`SetupError` if a service or another command works on it."""
    from calotype.errors import SetupError

    if not home.acquire():
        raise SetupError(f"CALOTYPE_HOME: {home.folder}: a calotype service or command works on it; stop that one")
    try:
        yield
    finally:
        home.release()


def _show(findings: Sequence[Finding]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    words = {True: "ok", False: "wrong", None: "–"}
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in ("what", "", "found"):
        table.add_column(column, overflow="fold")
    for each in findings:
        table.add_row(Text(each.about), Text(words[each.ok]), Text(each.told))
    Console().print(table)
