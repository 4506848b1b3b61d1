"""One seed, one picture: by the command line's own engine, by it through a server, by HTTP, by OpenAI's client."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import signal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from openai import OpenAI
from PIL import Image

from calotype.checkpoint import EMBEDDED
from serving import PATIENCE, Served, calotype, start, until

PROMPT, SEED, STEPS = "a purple fox", 41, 6
ASKED = ("imagine", PROMPT, "--seed", str(SEED), "--steps", str(STEPS))


class Own(NamedTuple):
    """What two commands made that began at once on a home without a server: one had to wait for the other."""

    folder: Path
    said: str
    answer: dict[str, Any]
    logs: list[str]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Own:
    folder = tmp_path_factory.mktemp("own")
    home = folder / "home"
    plain = start(*ASKED, "--images", "2", home=home, cwd=folder, log=folder / "plain.log")
    with_json = start(*ASKED, "--images", "2", "--json", "-o", "b.png", home=home, cwd=folder, log=folder / "json.log")
    said, answered = (each.communicate(timeout=PATIENCE)[0].decode() for each in (plain, with_json))
    assert (plain.returncode, with_json.returncode) == (0, 0)
    return Own(folder, said, json.loads(answered), [(folder / f"{n}.log").read_text() for n in ("plain", "json")])


def test_an_engine_of_its_own(own: Own) -> None:
    files = [f"a-purple-fox-{SEED}-1.png", f"a-purple-fox-{SEED}-2.png"]
    assert own.said == f"{files[0]}  256x256  seed {SEED}\n{files[1]}  256x256  seed {SEED + 1}\n"
    answer = own.answer
    assert (answer["seed"], answer["seeds"]) == (SEED, [SEED, SEED + 1])
    assert (answer["file"], answer["files"]) == ("b-1.png", ["b-1.png", "b-2.png"])
    assert (answer["request"]["steps"], answer["request"]["model"]) == (STEPS, "calotype-emoji")
    assert answer["timings"]["total_s"] > answer["timings"]["run_s"] > 0
    for picture, twin in zip(answer["pictures"], files, strict=True):
        content = (own.folder / picture["file"]).read_bytes()
        assert content.startswith(b"\x89PNG")
        assert hashlib.sha256(content).hexdigest() == picture["sha256"]
        assert (own.folder / twin).read_bytes() == content
    assert all(line.startswith("another command is at work") for log in own.logs for line in log.splitlines())


def test_the_same_bytes_whatever_the_way(server: Served, api: httpx.Client, own: Own, tmp_path: Path) -> None:
    picture = (own.folder / "b-1.png").read_bytes()
    through = calotype(*ASKED, "-o", "through.png", "--json", home=server.home, cwd=tmp_path)
    assert through.returncode == 0, through.stderr
    assert (tmp_path / "through.png").read_bytes() == picture
    # it was the server's job, and nobody's but the operator's
    job_id = json.loads(through.stdout)["job_id"]
    assert api.get(f"/v1/jobs/{job_id}").status_code == 404
    with server.client(token=server.token) as operator:
        assert operator.get(f"/v1/jobs/{job_id}").json()["status"] == "finished"

    job = api.post("/v1/jobs", json={"prompt": PROMPT, "seed": SEED, "steps": STEPS}).json()
    with api.stream("GET", f"/v1/jobs/{job['job_id']}/events") as events:
        events.read()
    assert api.get(f"/v1/jobs/{job['job_id']}/pictures/0").content == picture

    made = OpenAI(base_url=f"{server.url}/v1", api_key="any").images.generate(
        prompt=PROMPT, extra_body={"seed": SEED, "steps": STEPS}
    )
    assert made.data is not None
    assert base64.b64decode(made.data[0].b64_json or "") == picture


def test_from_a_picture_the_same_bytes_whatever_the_way(
    server: Served, operator: httpx.Client, own: Own, tmp_path: Path
) -> None:
    mask = Image.new("L", (256, 256))
    mask.paste(255, (0, 0, 256, 128))
    mask.save(tmp_path / "mask.png")
    asked = (
        "imagine", "tiger", "--seed", "8", "--steps", "10", "--strength", "0.5", "--init", own.folder / "b-1.png",
        "--mask", tmp_path / "mask.png",
    )  # fmt: skip
    for name, home in (("own.png", tmp_path / "home"), ("through.png", server.home)):
        ran = calotype(*asked, "-o", name, "--json", home=home, cwd=tmp_path)
        assert ran.returncode == 0, ran.stderr
        request = json.loads(ran.stdout)["request"]
        assert (request["strength"], len(request["init_image"]), len(request["mask"])) == (0.5, 64, 64)
    picture = (tmp_path / "through.png").read_bytes()
    assert (tmp_path / "own.png").read_bytes() == picture != (own.folder / "b-1.png").read_bytes()

    brought, painted = (
        operator.post("/v1/pictures", content=file.read_bytes()).json()["sha256"]
        for file in (own.folder / "b-1.png", tmp_path / "mask.png")
    )
    assert (brought, painted) == (request["init_image"], request["mask"])
    made = OpenAI(base_url=f"{server.url}/v1", api_key=server.token).images.generate(
        prompt="tiger", extra_body={"seed": 8, "steps": 10, "init_image": brought, "mask": painted, "strength": 0.5}
    )
    assert made.data is not None
    assert base64.b64decode(made.data[0].b64_json or "") == picture


def test_a_model_folder_through_the_server(server: Served, tmp_path: Path) -> None:
    folder = tmp_path / "models" / "another"
    shutil.copytree(EMBEDDED, folder)
    card = json.loads((folder / "calotype.json").read_text("utf-8"))
    (folder / "calotype.json").write_text(json.dumps({**card, "name": "another", "postprocess": []}), "utf-8")
    ran = calotype(*ASKED, "--model", "models/another", "-o", "a.png", "--json", home=server.home, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    answer = json.loads(ran.stdout)
    assert answer["request"]["model"] == "another"
    assert (answer["pictures"][0]["width"], answer["pictures"][0]["height"]) == (64, 64)
    # from now on the server has it by name, which this command's own engine would not
    by_name = calotype(*ASKED, "--model", "another", "-o", "b.png", home=server.home, cwd=tmp_path)
    assert by_name.returncode == 0, by_name.stderr
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    ("words", "field"),
    [
        (["--model", "nothing-like-it"], "model"),
        (["--steps", "0"], "steps"),
        (["--sampler", "eulr"], "sampler"),
        (["--init", "/dev/null"], "init"),
    ],
)
def test_bad_input_through_the_server(server: Served, tmp_path: Path, words: list[str], field: str) -> None:
    ran = calotype("imagine", "cat", *words, home=server.home, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"error: {field}: ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_cancels_the_job_at_the_server(
    server: Served, operator: httpx.Client, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    def status(wanted: str) -> bool:
        (newest,) = operator.get("/v1/jobs", params={"limit": 1}).json()["data"]
        return bool(newest["request"]["prompt"] == f"to be ended by {code}" and newest["status"] == wanted)

    words = ("imagine", f"to be ended by {code}", "--steps", "150", "--images", "8")
    process = start(*words, home=server.home, cwd=tmp_path, log=tmp_path / "log")
    try:
        until(lambda: status("running"), "the job to run")
        process.send_signal(number)
        assert process.wait(PATIENCE) == code
    finally:
        process.kill()
    assert status("cancelled")
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert (tmp_path / "log").read_text() == ""


def test_a_second_server_says_who_has_the_home(server: Served, tmp_path: Path) -> None:
    ran = calotype("serve", "--port", "0", home=server.home, cwd=tmp_path)
    assert ran.returncode == 2
    assert ran.stderr == f"error: CALOTYPE_HOME: {server.home} is in use by the server at {server.url}\n"
    with server.client() as client:
        assert client.get("/readyz").json() == {"ready": True}
