"""The page's part that links: with the real page over the real API, and people behind it."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from calotype.errors import BadRequest, LimitReached, NotAllowed
from calotype.person import Person
from calotype.visitors import SCOPE, Visitors
from calotype_gradio.handlers import person_of
from calotype_gradio.linking import lay_out, refusal, wire
from serving import Served
from visiting import Visitor

VISITORS = Visitors(b"secret")


def pressed(tab: Visitor, name: str, *data: str) -> str:
    call = {"data": list(data), "fn_index": tab._events[name]["id"], "session_hash": tab.session}
    answer = tab.client.post(f"/gradio_api/run/{name}", json=call)
    assert answer.status_code == 200, answer.text
    return re.sub(r"<[^>]+>", " ", answer.json()["data"][0])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Any:
    served = Served(tmp_path_factory.mktemp("linking") / "home")
    yield served
    served.process.kill()
    served.process.wait()


def test_two_browsers_become_one_visitor(served: Served) -> None:
    with served.client() as desk, served.client() as phone:
        for client in (desk, phone):
            client.get("/")  # as a browser does, which gets its cookie by it
        job = desk.post("/v1/jobs", json={"prompt": "cat", "steps": 1}).json()["job_id"]
        said = pressed(Visitor(desk), "link_code")
        code = re.search(r"Your code is (\S{9})\.", said)
        assert code is not None
        assert phone.get(f"/v1/jobs/{job}").status_code == 404
        assert "2 accounts are one person now" in pressed(Visitor(phone), "link", code[1])
        assert phone.get(f"/v1/jobs/{job}").status_code == 200
        Visitor(phone).paint(prompt="dog", steps=1)  # what the page makes is the cookie's, by whatever way it is asked
        assert [each["request"]["prompt"] for each in desk.get("/v1/jobs").json()["data"]] == ["dog", "cat"]
        assert "is not a code" in pressed(Visitor(phone), "link", "<b>?")


def test_who_a_visitor_is() -> None:
    cookie, unknown = VISITORS.by_cookie(VISITORS.new_cookie(), "192.0.2.1"), VISITORS.by_address("192.0.2.1")
    elsewhere = VISITORS.by_address("192.0.2.2")

    def of(found: Person | None, session: str = "abc") -> Person:
        request: Any = SimpleNamespace(session_hash=session, request=SimpleNamespace(scope={SCOPE: found}))
        return person_of(request)

    assert of(cookie) == cookie
    tabs = [of(unknown), of(elsewhere), of(None), of(unknown, "other"), of(unknown, cookie.key), of(unknown, "\ud800")]
    assert len({tab.key for tab in tabs}) == len(tabs)
    assert all(re.fullmatch("tab:[0-9a-f]{32}", tab.key) for tab in tabs)
    expected = Person(tabs[0].key, "visitor", role="visitor", address=unknown.address)
    assert of(unknown) == tabs[0] == expected


def test_refusals_are_words() -> None:
    for error in (BadRequest.of("code", "<no>"), NotAllowed("banned: <why>"), LimitReached("code: <tries>")):
        assert "&lt;" in refusal(error)
        assert "<no>" not in refusal(error)


def test_it_is_closed_until_it_is_wanted() -> None:
    with gr.Blocks(analytics_enabled=False) as blocks:
        wire(lay_out(), SimpleNamespace())  # type: ignore[arg-type]
    (part,) = [block for block in blocks.blocks.values() if isinstance(block, gr.Accordion)]
    assert part.open is False
