"""``calotype moderation``: block words and pictures, and read the audit; through the running server if there is one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

import typer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from calotype.moderation.office import Office
    from calotype.remote import Remote

moderation_app = typer.Typer(help="Block words and pictures; read what was refused.", rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON array and nothing else.")]


@moderation_app.command("words")
def words(as_json: Json = False) -> int:
    """List the words that were added with block-word."""
    found = _done("GET", "/v1/moderation/words", None, lambda office, who: _rows(office.words(who)))
    return _show(found, as_json, lambda row: f"{row['phrase']}  ({row['added_by']}, {_time(row['added'])})", "no words")


@moderation_app.command("block-word")
def block_word(word: Annotated[str, typer.Argument(help="A word, or a phrase in quotes.")]) -> int:
    """Refuse prompts that hold a word or phrase, from now on."""
    body = {"word": word}
    _done("POST", "/v1/moderation/words", body, lambda office, who: office.block_word(word, who))
    typer.echo(f"blocked: {word}")
    return 0


@moderation_app.command("unblock-word")
def unblock_word(word: Annotated[str, typer.Argument(help="As it was blocked.")]) -> int:
    """Allow a word again that was added with block-word."""
    body = {"word": word}
    _done("POST", "/v1/moderation/words/remove", body, lambda office, who: office.unblock_word(word, who))
    typer.echo(f"allowed again: {word}")
    return 0


@moderation_app.command("pictures")
def pictures(as_json: Json = False) -> int:
    """List the blocked pictures. Each is a hash of its look."""
    found = _done("GET", "/v1/moderation/pictures", None, lambda office, who: _rows(office.pictures(who)))
    return _show(found, as_json, _picture_line, "no pictures")


@moderation_app.command("block-picture")
def block_picture(
    what: Annotated[str, typer.Argument(help="A picture file, or the id of a job.")],
    index: Annotated[int | None, typer.Option(min=0, help="Only that picture of the job, from 0.")] = None,
    reason: Annotated[str, typer.Option(help="For the audit.")] = "",
) -> int:
    """Refuse what looks like this picture. Copies that are kept are removed."""
    if Path(what).is_file():
        body: dict[str, Any] = {**_of_file(Path(what)), "reason": reason}

        def block(office: Office, who: Any) -> list[dict[str, Any]]:
            return _rows([office.block_picture(body["hash"], body["sha256s"], reason, who)])
    else:
        body = {"job_id": what, "reason": reason, **({} if index is None else {"index": index})}

        def block(office: Office, who: Any) -> list[dict[str, Any]]:
            return _rows(office.block_job(what, index, reason, who))

    for row in _done("POST", "/v1/moderation/pictures", body, block):
        typer.echo(f"blocked: {row['hash']}")
    return 0


@moderation_app.command("unblock-picture")
def unblock_picture(digest: Annotated[str, typer.Argument(metavar="HASH", help="As pictures lists it.")]) -> int:
    """Allow a blocked picture again. Copies that were removed stay removed."""
    body = {"hash": digest}
    path = "/v1/moderation/pictures/remove"
    _done("POST", path, body, lambda office, who: office.unblock_picture(digest, who))
    typer.echo(f"allowed again: {digest}")
    return 0


@moderation_app.command("audit")
def audit(
    subject: Annotated[str | None, typer.Option(help="Only of this person, job, word or hash.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="Entries at most, the newest ones.")] = 100,
    as_json: Json = False,
) -> int:
    """What was blocked and refused, newest first."""
    query = {"limit": limit, **({} if subject is None else {"subject": subject})}
    path = f"/v1/moderation/audit?{urlencode(query)}"
    found = _done("GET", path, None, lambda office, who: _rows(office.audit(who, subject=subject, limit=limit)))
    return _show(found, as_json, _entry_line, "nothing yet")


def _done(
    method: str,
    path: str,
    body: Mapping[str, Any] | None,
    here: Callable[[Office, Any], object],
) -> list[dict[str, Any]]:
    """Ask the server that owns the data folder, or do it ``here`` on the database. Raises :class:`CalotypeError`."""
    from calotype import logs
    from calotype.person import OPERATOR

    async def run() -> list[dict[str, Any]]:
        async with _desk() as desk:
            if desk.remote is not None:
                answer = await desk.remote.ask(method, path, body)
                return list(answer.get("data", ()))
            assert desk.office is not None
            found = await asyncio.to_thread(here, desk.office, OPERATOR)
            return found if isinstance(found, list) else []

    logs.set_up("WARNING")
    return asyncio.run(run())


class _Desk:
    """Either of the two."""

    def __init__(self, remote: Remote | None = None, office: Office | None = None) -> None:
        self.remote, self.office = remote, office


@asynccontextmanager
async def _desk() -> AsyncIterator[_Desk]:
    from calotype.config import Settings
    from calotype.darkroom import owner
    from calotype.home import Home

    settings = Settings.load()
    home = Home.of(settings)
    server = await owner(home)
    if server is not None:
        from calotype.remote import Remote

        remote = Remote(server)
        try:
            yield _Desk(remote=remote)
        finally:
            await remote.close()
        return
    from calotype.bootstrap import open_office

    try:
        async with open_office(settings, home) as office:
            yield _Desk(office=office)
    finally:
        home.release()


def _of_file(file: Path) -> dict[str, Any]:
    """Hash and names of a picture file. Raises :class:`BadRequest` that names the file's fault."""
    from calotype.errors import BadRequest
    from calotype.images.intake import UPLOAD_LIMIT, encode, read_picture
    from calotype.moderation.office import fingerprint, names_of

    try:
        with file.open("rb") as opened:
            data = opened.read(UPLOAD_LIMIT + 1)
    except OSError as error:
        raise BadRequest.of("what", f"{str(file)!r} cannot be read: {error.strerror}") from None
    image = read_picture(data, "what")
    return {"hash": fingerprint(image), "sha256s": list(names_of(data, encode(image)))}


def _rows(things: Sequence[Any]) -> list[dict[str, Any]]:
    from calotype.moderation.office import as_json

    return [as_json(thing) for thing in things]


def _show(rows: list[dict[str, Any]], as_json: bool, line: Callable[[Mapping[str, Any]], str], none: str) -> int:
    if as_json:
        typer.echo(json.dumps(rows))
        return 0
    for row in rows:
        typer.echo(line(row))
    if not rows:
        typer.echo(none, err=True)
    return 0


def _picture_line(row: Mapping[str, Any]) -> str:
    reason = f"  {row['reason']}" if row["reason"] else ""
    return f"{row['hash']}  ({row['added_by']}, {_time(row['added'])}){reason}"


def _entry_line(row: Mapping[str, Any]) -> str:
    details = ", ".join(f"{name}: {value}" for name, value in row["details"].items() if value not in ("", [], None))
    told = f"{_time(row['at'])}  {row['actor']}  {row['action']}  {row['subject']}"
    return f"{told}  ({details})" if details else told


def _time(text: str) -> str:
    return text[:19].replace("T", " ")
