"""What no database can hold comes to neither: every door of the core refuses it, names from elsewhere are mended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from calotype.bootstrap import moderation_for
from calotype.bus import Bus
from calotype.catalog import Catalog
from calotype.config import Settings
from calotype.errors import BadRequest, UnknownJob
from calotype.home import Home
from calotype.images.store import ImageStore
from calotype.ledger import Ledger
from calotype.ledger.search import Filters
from calotype.person import OPERATOR, Person
from calotype.request import Request
from calotype.studio import Studio

ANNA = Person("test:anna", "Anna")
WISH = Request(prompt="cat", steps=1)
broken = pytest.mark.parametrize("text", ["\x00", "a\x00b", "\ud800", "a\udfffb"], ids=["0", "a0b", "half", "a half b"])


class _NoEngine:
    """What the studio needs of one that makes no pictures here."""

    def submitted(self, job_id: str) -> None:
        """It waits."""

    def is_paused(self, job_id: str) -> bool:
        return False


@pytest.fixture
def studio(ledger: Ledger, catalog: Catalog, tmp_path: Path) -> Studio:
    home = Home(tmp_path / "home")
    moderation = moderation_for(Settings(home=home.folder), home, ledger, catalog.registry.reviews)
    work: Any = _NoEngine()
    return Studio(ledger, ImageStore(tmp_path / "images"), catalog, Bus(), work, moderation)


DOORS: dict[str, Callable[[Studio, str], Awaitable[object]]] = {
    "key": lambda studio, text: studio.submit(WISH, ANNA, key=text),
    "parent": lambda studio, text: studio.submit(WISH, ANNA, parent=text),
    "before": lambda studio, text: studio.history(ANNA, before=text),
    "before of a search": lambda studio, text: studio.archive.search("", ANNA, before=text),
    "q": lambda studio, text: studio.archive.search(text, ANNA),
    "person": lambda studio, text: studio.archive.search("cat", OPERATOR, Filters(person=text)),
    "guild": lambda studio, text: studio.archive.search("cat", ANNA, Filters(guild=text)),
    "model": lambda studio, text: studio.archive.search("cat", ANNA, Filters(model=text)),
    "sampler": lambda studio, text: studio.archive.search("cat", ANNA, Filters(sampler=text)),
    "person of an export": lambda studio, text: studio.archive.export(Path("/nowhere"), OPERATOR, text),
    "person to erase": lambda studio, text: studio.archive.erase(OPERATOR, text),
    "code": lambda studio, text: studio.people.link(ANNA, text),
    "person to show": lambda studio, text: studio.people.one(text, OPERATOR),
    "person to ban": lambda studio, text: studio.people.ban(text, "x", OPERATOR),
    "reason": lambda studio, text: studio.people.ban(ANNA.key, text, OPERATOR),
    "person to welcome": lambda studio, text: studio.people.unban(text, OPERATOR),
    "person with a role": lambda studio, text: studio.people.set_role(text, "member", OPERATOR),
    "role": lambda studio, text: studio.people.set_role(ANNA.key, text, OPERATOR),
    "person with a code": lambda studio, text: studio.people.code_for(text, OPERATOR),
    "after": lambda studio, text: studio.people.all(OPERATOR, after=text),
    "search": lambda studio, text: studio.people.all(OPERATOR, search=text),
    "cron": lambda studio, text: studio.timetable.add(WISH, OPERATOR, text),
    "timezone": lambda studio, text: studio.timetable.add(WISH, OPERATOR, "@daily", text),
    "reply_to": lambda studio, text: studio.timetable.add(
        WISH, OPERATOR, "@daily", reply_to={"front_end": "x", "name": [text]}
    ),
    "word": lambda studio, text: asyncio.to_thread(studio.moderation.block_word, f"pig{text}", OPERATOR),
    "word to allow": lambda studio, text: asyncio.to_thread(studio.moderation.unblock_word, f"pig{text}", OPERATOR),
    "hash": lambda studio, text: asyncio.to_thread(studio.moderation.unblock_picture, text, OPERATOR),
    "hash to block": lambda studio, text: asyncio.to_thread(
        studio.moderation.block_picture, text, [], "", OPERATOR
    ),
    "sha256s": lambda studio, text: asyncio.to_thread(
        studio.moderation.block_picture, "f" * 16, [text], "", OPERATOR
    ),
    "reason to block": lambda studio, text: asyncio.to_thread(
        studio.moderation.block_picture, "f" * 16, [], text, OPERATOR
    ),
    "subject": lambda studio, text: asyncio.to_thread(studio.moderation.audit, OPERATOR, subject=text),
}  # fmt: skip
OF_A_JOB: dict[str, Callable[[Studio, str], Awaitable[object]]] = {
    "look": lambda studio, text: studio.job(text, ANNA),
    "wait": lambda studio, text: studio.wait(text, ANNA),
    "cancel": lambda studio, text: studio.cancel(text, OPERATOR),
    "erase": lambda studio, text: studio.erase(text, OPERATOR),
    "favour": lambda studio, text: studio.archive.favour(text, OPERATOR),
    "rerun": lambda studio, text: studio.archive.rerun(text, OPERATOR),
    "children": lambda studio, text: studio.archive.children(text, OPERATOR),
    "block": lambda studio, text: asyncio.to_thread(studio.moderation.block_job, text, None, "", OPERATOR),
}


async def _sent(call: Awaitable[object]) -> object:
    return await call


@broken
def test_it_is_refused_by_name_and_nothing_is_written(studio: Studio, ledger: Ledger, text: str) -> None:
    for door, call in DOORS.items():
        with pytest.raises(BadRequest) as caught:
            asyncio.run(_sent(call(studio, text)))
        assert caught.value.problems[0].field == door.partition(" ")[0]
    for call in OF_A_JOB.values():
        with pytest.raises(UnknownJob):
            asyncio.run(_sent(call(studio, text)))
    with pytest.raises(KeyError):
        studio.drawn_path(text)
    assert ledger.history(None) == ledger.timetable.all(None) == ledger.blocked.words() == ledger.people.audit() == []
    assert ledger.people.all() == []


@broken
def test_a_name_from_elsewhere_is_mended(studio: Studio, ledger: Ledger, text: str) -> None:
    somebody = Person("test:x", f"Anna {text}")
    reply_to = {"front_end": "test", "name": somebody.name, "path": [1, text]}
    job = asyncio.run(studio.submit(WISH, somebody, reply_to=reply_to))
    assert job.reply_to is not None
    mended = text.replace(text.strip("ab"), "\ufffd")
    assert (job.reply_to["name"], job.reply_to["path"]) == (f"Anna {mended}", [1, mended])
    assert ledger.people.one("test:x").name == f"Anna {mended}"


@broken
def test_a_plugin_that_fails_may_say_anything(ledger: Ledger, text: str) -> None:
    job = ledger.submit(ANNA, WISH, cost=1.0)
    claimed = ledger.claim_job(job.id)
    assert claimed is not None
    assert ledger.fail(job.id, claimed.epoch, f"it said {text}")
    found = ledger.job(job.id)
    assert found is not None
    assert str(found.error).startswith("it said ")
