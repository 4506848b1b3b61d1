"""The desk where everything passes: words of two processes, reviews, hashes, and what is written of a refusal."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from calotype.engine.assignment import Rendered
from calotype.errors import BadRequest, DatabaseError
from calotype.ledger import Ledger, open_ledger
from calotype.moderation import desk
from calotype.moderation.desk import Limits, Moderation, Screened
from calotype.moderation.hashing import perceptual_hash
from calotype.moderation.prompts import PromptReview
from calotype.person import Person
from calotype.plugins.testing import picture
from calotype.request import Request
from calotype.review import Refusal, Reviewer, ReviewInfo, Reviews

ANN = Person("web:ann", "Ann")


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = open_ledger(f"sqlite:///{tmp_path / 'calotype.db'}", None)
    yield ledger
    ledger.close()


def moderation(ledger: Ledger, *reviewers: Reviewer, closed: bool = False, words: tuple[str, ...] = ()) -> Moderation:
    reviews = Reviews(tuple(reviewers), closed)
    return Moderation(ledger.blocked, PromptReview(words), reviews, Limits(prompt=0.3, picture=0.3))


def ask(desk: Moderation, prompt: str = "cat") -> str | None:
    try:
        asyncio.run(desk.check_prompt(Request(prompt=prompt), ANN))
    except BadRequest as error:
        return str(error)
    return None


def bring(desk: Moderation, image: Image.Image | None = None) -> str | None:
    try:
        desk.check_upload(image or picture(64, 64), ANN)
    except BadRequest as error:
        return str(error)
    return None


def audited(ledger: Ledger) -> list[tuple[str, str, str, dict[str, Any]]]:
    return [(e.actor, e.action, e.subject, dict(e.details)) for e in ledger.blocked.audit()]


def spin(*_: object) -> None:
    while True:
        pass


def broken(*_: object) -> None:
    raise RuntimeError("out of cheese")


# prompts


def test_a_refused_prompt_leaves_its_rule_and_not_its_words(ledger: Ledger) -> None:
    said = ask(moderation(ledger, words=("gore",)), "secret gore")
    assert said == "prompt: holds a word that this service does not allow; please reword it"
    assert audited(ledger) == [("web:ann", "refuse_prompt", "web:ann", {"rule": "blocked word: gore"})]
    assert "secret" not in str(audited(ledger))
    ask(moderation(ledger), "nude child")
    assert audited(ledger)[0][3] == {"rule": "sexual depiction of minors"}


def test_plugins_are_asked_in_order_and_the_first_refusal_stands(ledger: Ledger) -> None:
    asked: list[str] = []

    def look(name: str, answer: Refusal | None) -> Reviewer:
        return Reviewer(name, prompt=lambda request, person: asked.append(f"{name} {person.key}") or answer)

    no = Refusal("is about ducks; ask for another bird", "score 0.9")
    desk = moderation(ledger, look("a", None), look("b", no), look("c", Refusal("never")))
    assert ask(desk) == "prompt: is about ducks; ask for another bird"
    assert asked == ["a web:ann", "b web:ann"]
    assert audited(ledger) == [("web:ann", "refuse_prompt", "web:ann", {"rule": "b", "reason": "score 0.9"})]


@pytest.mark.parametrize("look", [spin, broken, lambda request, person: "fine"])
def test_a_review_of_a_prompt_that_fails(
    ledger: Ledger, look: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        assert ask(moderation(ledger, Reviewer("mine", prompt=look))) is None
        said = ask(moderation(ledger, Reviewer("mine", prompt=look), closed=True))
    assert said == "prompt: could not be reviewed; try again later"
    assert [e[1] for e in audited(ledger)] == ["refuse_prompt"]
    first, second = (record.getMessage() for record in caplog.records)
    assert "a prompt of web:ann could not be reviewed by plugin mine; it passes without that review" in first
    assert "plugin mine; it is refused" in second
    assert "test_desk.py" in first or "TypeError" in first, "the traceback"


def test_what_another_process_blocks_holds_within_seconds(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 1000.0
    monkeypatch.setattr(desk, "time", SimpleNamespace(monotonic=lambda: clock))
    here = moderation(ledger)
    assert ask(here, "blood") is None
    ledger.blocked.block_word("blood", "operator")  # as another process would
    assert ask(here, "blood") is None
    clock += desk.REFRESH + 0.1
    assert ask(here, "blood") is not None
    ledger.blocked.unblock_word("blood", "operator")
    here.refresh()  # as the office of this process does
    assert ask(here, "blood") is None


def test_a_list_that_cannot_be_read_lets_nothing_pass(ledger: Ledger) -> None:
    here = moderation(ledger)
    ledger.close()
    ledger.blocked._database._engine.dispose()
    file = Path(str(ledger.blocked._database._engine.url.database))
    file.rename(file.with_suffix(".gone"))
    file.mkdir()
    with pytest.raises(DatabaseError):
        asyncio.run(here.check_prompt(Request(prompt="cat"), ANN))
    with pytest.raises(DatabaseError):
        here.check_upload(picture(64, 64), ANN)


def test_a_flood_of_refusals_does_not_fill_the_audit(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(desk, "AUDITED", 5)
    clock = 1000.0
    monkeypatch.setattr(desk, "time", SimpleNamespace(monotonic=lambda: clock))
    here = moderation(ledger, words=("gore",))
    here._throttle = desk._Throttle(5, lambda: clock)
    for _ in range(12):
        assert ask(here, "gore")
    assert len(audited(ledger)) == 5
    clock += 61
    ask(here, "gore")
    assert audited(ledger)[0][3] == {"rule": "blocked word: gore", "unrecorded_before": 7}


# pictures that are brought


def test_a_brought_picture_that_looks_like_a_blocked_one(ledger: Ledger) -> None:
    digest = perceptual_hash(picture(64, 64))
    assert digest is not None
    here = moderation(ledger)
    assert bring(here) is None
    ledger.blocked.block_picture(digest, "", "operator")
    here.refresh()
    assert bring(here, picture(64, 64).resize((200, 200))) == (
        "picture: is too much like one that this service does not allow"
    )
    assert audited(ledger)[0] == ("web:ann", "refuse_upload", "web:ann", {"rule": "blocked picture", "hash": digest})
    assert bring(here, Image.linear_gradient("L").convert("RGB")) is None
    assert bring(here, Image.new("RGB", (64, 64))) is None, "one colour is like nothing"


def test_a_plugin_sees_a_brought_picture(ledger: Ledger) -> None:
    seen: list[ReviewInfo] = []

    def look(image: Image.Image, info: ReviewInfo) -> Refusal:
        seen.append(info)
        image.paste("black", (0, 0, 64, 64))
        return Refusal("shows a duck")

    image = picture(64, 64)
    assert bring(moderation(ledger, Reviewer("ducks", picture=look)), image) == "picture: shows a duck"
    assert seen == [ReviewInfo("web:ann", None, None)]
    assert image.tobytes() == picture(64, 64).tobytes(), "it has a copy"
    assert audited(ledger)[0][1:] == ("refuse_upload", "web:ann", {"rule": "ducks", "reason": ""})


@pytest.mark.parametrize("look", [spin, broken, lambda image, info: 1])
def test_a_review_of_a_brought_picture_that_fails(ledger: Ledger, look: Callable[..., Any]) -> None:
    assert bring(moderation(ledger, Reviewer("mine", picture=look))) is None
    said = bring(moderation(ledger, Reviewer("mine", picture=look), closed=True))
    assert said == "picture: could not be reviewed; try again later"


# pictures that were made


def rendered(index: int, image: Image.Image, refusal: Refusal | None = None) -> Rendered:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    png = b"" if refusal else buffer.getvalue()
    return Rendered(index, 10 + index, png, 64, 64, refusal=refusal, refused_by="mine" if refusal else "")


def screened(here: Moderation, *pictures: Rendered) -> Screened:
    return here.screen(SimpleNamespace(person="web:ann", job_id="job"), pictures)  # type: ignore[arg-type]


def test_pictures_that_nobody_minds(ledger: Ledger) -> None:
    made = rendered(0, picture(64, 64))
    assert screened(moderation(ledger), made) == ([made], [], "")


def test_pictures_of_a_job_are_screened_one_by_one(ledger: Ledger) -> None:
    digest = perceptual_hash(picture(64, 64))
    assert digest is not None
    ledger.blocked.block_picture(digest, "", "operator")
    here = moderation(ledger)
    fine = rendered(0, Image.linear_gradient("L").convert("RGB"))
    like, refused = rendered(1, picture(64, 64)), rendered(2, picture(64, 64), Refusal("shows a duck", "0.9"))
    kept, out, reason = screened(here, fine, like, refused)
    assert kept == [fine]
    assert [(each.actor, each.action, each.subject) for each in out] == [("web:ann", "refuse_picture", "job")] * 2
    assert [each.details for each in out] == [
        {"rule": "blocked picture", "hash": digest, "index": 1, "seed": 11},
        {"rule": "mine", "reason": "0.9", "index": 2, "seed": 12},
    ]
    assert reason == (
        "2 of 3 pictures were not given out: is too much like one that this service does not allow; shows a duck"
    )


@pytest.mark.parametrize(
    ("refused", "of", "said"),
    [
        (1, 1, "the picture was not given out: shows a duck"),
        (1, 2, "1 of 2 pictures was not given out: shows a duck"),
        (2, 2, "none of the 2 pictures was given out: shows a duck"),
    ],
)
def test_what_a_person_is_told(ledger: Ledger, refused: int, of: int, said: str) -> None:
    no = Refusal("shows a duck")
    pictures = [rendered(place, picture(64, 64), no if place < refused else None) for place in range(of)]
    assert screened(moderation(ledger), *pictures).reason == said


def test_a_refusal_is_one_line_of_text() -> None:
    assert Refusal("too\n much ", "x" * 400).message == "too much"
    assert len(Refusal("m" * 400, "x" * 400).reason) == 300
    with pytest.raises(ValueError, match="needs a message"):
        Refusal(" ")
    with pytest.raises(TypeError):
        Refusal(None)  # type: ignore[arg-type]
