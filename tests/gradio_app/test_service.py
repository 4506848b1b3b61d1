"""The page through the running service, without a browser."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from serving import Served, until
from visiting import Visitor

LONG: dict[str, Any] = {"steps": 150, "pictures": 8}
"""Takes long enough to be looked at, stopped or left alone."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("page") / "home")
    try:
        served.wait_ready()
        yield served
        assert served.stop() == 0
    finally:
        served.process.kill()
    assert "Traceback" not in served.log.read_text()


@pytest.fixture
def client(service: Served) -> Iterator[httpx.Client]:
    with service.client() as client:
        yield client


@pytest.fixture
def visitor(client: httpx.Client) -> Visitor:
    return Visitor(client)


def test_a_picture_is_delivered_as_the_file_that_its_name_says(visitor: Visitor, client: httpx.Client) -> None:
    painted = visitor.paint(prompt="blue cat")
    assert painted.status == "Your picture is ready."
    (address,) = painted.addresses
    answer = client.get("/" + address)
    assert answer.headers["content-type"] == "image/png"
    assert hashlib.sha256(answer.content).hexdigest() == Path(address.split("?")[0]).stem
    assert Image.open(io.BytesIO(answer.content)).size == (256, 256)
    assert f"calotype-{painted.changed['seed']}.png" in answer.headers["content-disposition"]


def test_a_kept_seed_gives_the_same_picture(visitor: Visitor) -> None:
    first = visitor.paint(prompt="owl")
    again = visitor.paint(prompt="owl", seed=first.changed["seed"], randomize=False)
    assert again.addresses == first.addresses
    assert visitor.paint(prompt="owl").addresses != first.addresses


def test_progress_and_previews_are_seen(visitor: Visitor) -> None:
    said = list(visitor.run(prompt="castle", steps=60, pictures=2))
    steps = [int(found[1]) for each in said if (found := re.search(r"step (\d+) of 120", each.status))]
    previews = {each.html("stage") for each in said if "data:image/jpeg" in each.html("stage")}
    assert len(steps) >= 2
    assert steps == sorted(steps)
    assert len(previews) >= 2


def test_several_pictures_have_their_own_seeds_and_what_was_used_is_said(visitor: Visitor) -> None:
    painted = visitor.paint(prompt="fox", pictures=3, seed=41, randomize=False, schedule="karras", rho=5)
    assert painted.status == "3 pictures are ready."
    assert re.findall(r"seed <code>(\d+)", painted.html("stage")) == ["41", "42", "43"]
    for part in ("Karras", "rho 5", "20 steps", "256 × 256", "seed 41", "took"):
        assert part in painted.html("used"), part


def test_notes_on_a_picture_are_shown(visitor: Visitor) -> None:
    painted = visitor.paint(prompt="cat " * 300, size="64x64")
    assert "<small>" in painted.html("stage")


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"prompt": ""}, "Prompt"), ({"prompt": 5}, "Prompt"), ({"prompt": None}, "Prompt"),
        ({"prompt": "x" * 3000}, "Prompt"), ({"prompt": "\ud800"}, "Prompt"), ({"steps": "many"}, "Steps"),
        ({"steps": 10**300}, "Steps"), ({"steps": -1}, "Steps"), ({"guidance": "no"}, "Guidance"),
        ({"pictures": 99}, "Pictures"), ({"sampler": "nope"}, "Sampler"), ({"sampler": True}, "Sampler"),
        ({"schedule": 1}, "Schedule"), ({"model": "/etc/passwd"}, "Model"), ({"factor": 3}, "Upscale, Factor"),
        ({"upscale": "yes"}, "Upscale"), ({"randomize": 1}, "Randomize"),
        ({"seed": -1, "randomize": False}, "Seed"), ({"seed": "x", "randomize": False}, "Seed"),
    ],
)  # fmt: skip
def test_wrong_values_sent_past_the_page_are_answered_in_words(
    visitor: Visitor, changed: dict[str, Any], named: str
) -> None:
    said, *_ = visitor.run(**{"prompt": "cat"} | changed)
    assert said.status.startswith(named)
    assert visitor.cancel() == "There was nothing to cancel."


@pytest.mark.parametrize("value", [["cat"], {"path": "http://127.0.0.1/x", "meta": {"_type": "gradio.FileData"}}])
def test_values_that_are_no_values_do_not_reach_gradio(visitor: Visitor, value: Any) -> None:
    answer = visitor.join(visitor.values(prompt=value))
    assert answer.status_code == 422
    assert "plain values" in answer.json()["detail"]


def test_cancel_while_it_runs(visitor: Visitor) -> None:
    watching = visitor.run(prompt="castle", **LONG)
    until(lambda: "step" in next(watching).status, "the first step")
    assert visitor.cancel() == "Cancelled."
    assert [each.status for each in watching][-1] == "Cancelled."


def test_the_41st_visitor_is_not_held_back_and_sees_how_many_come_before(client: httpx.Client) -> None:
    visitors = [Visitor(client) for _ in range(45)]
    try:
        watching = [visitor.run(prompt="castle", **LONG) for visitor in visitors]
        last = watching[-1]
        said = until(lambda: status if "before yours" in (status := next(last).status) else None, "a position")
        assert re.fullmatch(r"\d+ jobs? before yours(, about \d+ \w+)?\.", said)
        assert visitors[-1].cancel() == "Cancelled."  # it waits still
        assert [each.status for each in last][-1] == "Cancelled."
    finally:
        for visitor in visitors:
            visitor.cancel()


def test_nobody_cancels_for_another(client: httpx.Client) -> None:
    mine, other = Visitor(client), Visitor(client)
    watching = mine.run(prompt="castle", **LONG)
    until(lambda: "step" in next(watching).status, "the first step")
    assert other.cancel() == "There was nothing to cancel."
    assert "step" in next(watching).status
    mine.cancel()


def test_a_closed_tab_does_not_end_the_job(visitor: Visitor) -> None:
    watching = visitor.run(prompt="house", size="64x64", steps=100)
    until(lambda: "step" in next(watching).status, "the first step")
    watching.close()  # type: ignore[attr-defined]

    def is_kept() -> bool:
        return 'alt="house"' in visitor.paint(prompt="sun", size="64x64").html("earlier")

    assert until(is_kept, "the picture of the closed tab")


def test_a_session_sees_its_own_pictures_only(client: httpx.Client) -> None:
    mine, other = Visitor(client), Visitor(client)
    mine.paint(prompt="moon", size="64x64")
    assert 'alt="moon"' in mine.paint(prompt="sun", size="64x64").html("earlier")
    assert "moon" not in other.paint(prompt="sun", size="64x64").html("earlier")


def test_other_front_ends_keep_their_paths(client: httpx.Client) -> None:
    assert client.get("/healthz").json()["service"] == "calotype"
    assert client.get("/v1/no-such-path").status_code == 404
    assert "gradio" not in client.get("/v1/no-such-path").text


def test_the_page_names_no_other_host(client: httpx.Client) -> None:
    page = client.get("/")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="([^"]+)"', page.text)
    assert loaded
    assert not [address for address in loaded if "//" in address]
    for style in (client.get("/theme.css").text, client.get("/config").json()["css"] or ""):
        assert not re.search(r"@import|url\(\s*['\"]?(https?:)?//", style)


def test_the_data_folder_is_not_served(client: httpx.Client, service: Served) -> None:
    for path in (service.home / "server.json", service.home / "calotype.db"):
        for address in (f"/gradio_api/file={path}", f"/file={path}", f"/gradio_api/file/{path}"):
            assert client.get(address).status_code in (403, 404)
    assert client.get("/page/pictures/" + "0" * 64 + ".png").status_code == 404
    assert client.get("/page/pictures/..%2f..%2fserver.json").status_code == 404


def test_files_are_not_taken(client: httpx.Client) -> None:
    assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 404


def test_a_session_named_after_a_visitor_is_not_that_visitor(service: Served, client: httpx.Client) -> None:
    """The name of a session is the browser's to choose: whoever learns a key must not become its owner by it."""
    with service.client() as browser:
        browser.get("/")
        victim = Visitor(browser)
        key = browser.cookies["calotype_visitor"].partition(".")[0]
        running = victim.run(prompt="owl", **LONG)
        next(running)
        (job,) = [each for each in browser.get("/v1/jobs").json()["data"] if each["status"] in ("queued", "running")]
        for session in (key, victim.session):
            thief = Visitor(client, session=session)
            assert "nothing to cancel" in thief.cancel()
            assert client.get(f"/v1/jobs/{job['job_id']}").status_code == 404
            assert "owl" not in str(thief.paint(prompt="cat", steps=1).changed.get("earlier"))
        assert browser.get(f"/v1/jobs/{job['job_id']}").json()["status"] != "cancelled"
        assert "ready" in list(running)[-1].status  # to its end: nobody called it off
