"""``calotype verify`` on pictures that a real service made in company, with the real model."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import load_file, save_file

from calotype import cli, cli_verify
from calotype.bootstrap import catalog_for, open_host, open_service
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.config import Settings
from calotype.dispatch.assigning import as_it_stands, plugins_of
from calotype.engine.assignment import Assignment
from calotype.home import Home
from calotype.images.store import ImageStore, name_of
from calotype.job import Job, JobStatus, Picture
from calotype.person import OPERATOR, Person
from calotype.plugins.registry import Registry
from calotype.request import Request
from calotype.rerendering import render
from calotype.retracing import Subject, retrace
from calotype.verifying import Conditions, Verdict, compare, judge
from serving import calotype

Verify = Callable[..., tuple[int, dict[str, Any]]]
CROWD: dict[str, dict[str, Any]] = {
    "batch": {"images": 3, "seed": 2**53 - 1},
    "karras": {"sampler": "dpmpp_2m", "schedule": "karras", "options": {"karras": {"rho": 5.0}, "upscale": False}},
    "heun": {"sampler": "heun", "options": {"upscale": {"factor": 2}, "film_grain": {"strength": 0.2}}},
    "long": {"prompt": "(blue:1.3) cat, " * 10, "guidance": 5.0, "options": {"upscale": False}},
    "unguided": {"guidance": 1.0, "options": {"upscale": False}},
    "painted": {"strength": 0.7, "options": {"upscale": False}},
}


class Kept:
    """A real engine that is kept from test to test: loading it is most of what a short job costs."""

    def __init__(self) -> None:
        self._listener: Any = None
        self.engine = open_host(Settings.load(device="cpu"), self, 1)

    def __call__(self, settings: Settings, listener: Any, threads: int) -> Kept:
        """In the place of :func:`open_host`."""
        assert threads == 1
        self._listener = listener
        return self

    def join(self, assignment: Assignment) -> None:
        self.engine.join(assignment)

    def close(self) -> None:
        """It is kept."""

    def __getattr__(self, name: str) -> Any:
        """As the engine's listener."""
        return getattr(self._listener, name)


@dataclass
class Made:
    """A home, and the jobs that were made in it at once."""

    home: Path
    jobs: dict[str, Job]

    @property
    def store(self) -> ImageStore:
        return ImageStore(self.home / "images")

    def change(self, sql: str, *values: Any) -> None:
        with closing(sqlite3.connect(self.home / "calotype.db")) as connection, connection:
            assert connection.execute(sql, values).rowcount == 1

    def record(self, name: str, **changes: Any) -> None:
        """Rewrites a job's record; None takes a part out."""
        record = {key: each for key, each in {**self.jobs[name].record, **changes}.items() if each is not None}
        self.change("UPDATE jobs SET record = ? WHERE id = ?", json.dumps(record), self.jobs[name].id)

    def request(self, name: str, **changes: Any) -> None:
        request = {**self.jobs[name].request.model_dump(mode="json"), **changes}
        self.change("UPDATE jobs SET request = ? WHERE id = ?", json.dumps(request), self.jobs[name].id)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Six jobs of three people in one service, all begun before the first ends; one is left queued."""
    folder = tmp_path_factory.mktemp("verify") / "home"

    async def make() -> dict[str, Job]:
        chosen = Settings.load(home=folder, threads=1, drain_seconds=0, slots=4, device="cpu")
        home = Home(folder)
        assert home.acquire()
        try:
            async with open_service(chosen, home, catalog_for(chosen)) as studio:
                names = [await studio.take_in(drawing(kind), OPERATOR) for kind in ("RGB", "L")]
                start = {"init_image": names[0], "mask": names[1]}
                jobs = {}
                for number, (name, fields) in enumerate(CROWD.items()):
                    more = start if name == "painted" else {}
                    request = Request.parse({"prompt": "blue cat", "steps": 3, "seed": number, **fields, **more})
                    person = OPERATOR if more else Person(f"test:{number % 3}", "Somebody")
                    jobs[name] = await studio.submit(request, person)
                done = {name: await studio.wait(job.id) for name, job in jobs.items()}
                stopped = await studio.submit(Request(prompt="cat", steps=150), OPERATOR)
                await studio.cancel(stopped.id, OPERATOR)
                return {**done, "cancelled": stopped}
        finally:
            home.release()

    return Made(folder, asyncio.run(asyncio.wait_for(make(), 120)))


def drawing(mode: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.new(mode, (64, 64), 0)
    image.paste((200, 40, 10) if mode == "RGB" else 255, (8, 8, 40, 30))
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def made(whole: Made, tmp_path: Path) -> Made:
    """A copy, to be tampered with."""
    return Made(Path(shutil.copytree(whole.home, tmp_path / "home")), whole.jobs)


@pytest.fixture(scope="module")
def kept() -> Iterator[Kept]:
    kept = Kept()
    yield kept
    kept.engine.close()


@pytest.fixture
def verify(kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Verify:
    """The command with ``--json`` in this process: its exit code and its answer, or its one line of complaint."""

    def run(home: Path, *words: str | Path) -> tuple[int, dict[str, Any]]:
        monkeypatch.setenv("CALOTYPE_HOME", str(home))
        code = cli.main(["verify", *map(str, words), "--json"])
        out, err = capsys.readouterr()
        assert (out == "") is bool(err), err
        assert err.count("\n") <= 1
        return code, json.loads(out) if out else {"error": err}

    monkeypatch.setattr(cli_verify, "open_host", kept)
    for name in ("CALOTYPE_MODEL", "CALOTYPE_PLUGINS", "CALOTYPE_THREADS", "CALOTYPE_DEVICE", "CALOTYPE_DATABASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return run


def listing(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.mark.parametrize("name", CROWD)
def test_whatever_company_it_was_made_in(whole: Made, verify: Verify, name: str) -> None:
    before = listing(whole.home)
    code, answer = verify(whole.home, whole.jobs[name].id)
    assert (code, answer["good"]) == (0, True)
    assert [p["sha256_now"] for p in answer["pictures"]] == [p.sha256 for p in whole.jobs[name].pictures]
    assert {p["verdict"] for p in answer["pictures"]} == {"same"}
    assert all(p["same_conditions"] for p in answer["pictures"]), answer["pictures"][0]["differences"]
    assert listing(whole.home) == before


def test_a_file_is_found_by_its_bytes(whole: Made, verify: Verify, tmp_path: Path) -> None:
    third = whole.jobs["batch"].pictures[2]
    (tmp_path / "mine.png").write_bytes(whole.store.get(third.sha256))
    code, answer = verify(whole.home, tmp_path / "mine.png")
    assert (code, answer["job_id"]) == (0, whole.jobs["batch"].id)
    assert [(p["index"], p["seed"], p["verdict"]) for p in answer["pictures"]] == [(2, 1, "same")]
    # and by its sha256, and as one of its job's
    for words in ((third.sha256,), (whole.jobs["batch"].id, "--index", "2")):
        assert [p["index"] for p in verify(whole.home, *words)[1]["pictures"]] == [2]


def test_what_no_picture_was_made_of(made: Made, verify: Verify, tmp_path: Path) -> None:
    job, brought = made.jobs["batch"], made.jobs["painted"].request.init_image
    (tmp_path / "anew.png").write_bytes(drawing("RGB") + b"and more")
    (tmp_path / "torn.png").write_bytes(made.store.get(job.pictures[0].sha256)[:500])
    shutil.copy(made.store.path(str(brought)), tmp_path / "brought.png")
    queued, failed = (made.jobs[name].id for name in ("karras", "heun"))
    made.change("UPDATE jobs SET status = 'queued' WHERE id = ?", queued)
    made.change("UPDATE jobs SET status = 'failed', error = 'out of memory' WHERE id = ?", failed)
    for what, words in {
        str(tmp_path / "anew.png"): "file: .*byte for byte",
        str(tmp_path / "torn.png"): "file: cannot be read as PNG",
        str(tmp_path / "brought.png"): "file: .*it was not made here",
        queued: "job: .*is still queued",
        failed: "job: .*failed, so there is no picture: out of memory",
        made.jobs["cancelled"].id: "job: .*was cancelled",
        "f" * 32: "job: .*is not in this history",
    }.items():
        code, answer = verify(made.home, what)
        assert code == 2, what
        assert pytest.RaisesExc(Exception, match=words).matches(Exception(answer["error"])), answer
    code, answer = verify(made.home, job.id, "--index", "3")
    assert (code, "0 to 2" in answer["error"]) == (2, True)


def test_an_erased_job_is_not_found_by_its_file_any_more(made: Made, verify: Verify, tmp_path: Path) -> None:
    picture = made.jobs["karras"].pictures[0]
    shutil.copy(made.store.path(picture.sha256), tmp_path / "kept.png")
    with closing(sqlite3.connect(made.home / "calotype.db")) as connection, connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("DELETE FROM jobs WHERE id = ?", (made.jobs["karras"].id,))
    assert verify(made.home, tmp_path / "kept.png")[0] == 2


def test_what_is_gone_is_named(made: Made, verify: Verify) -> None:
    jobs = {name: job.id for name, job in made.jobs.items()}
    made.request("karras", sampler="unipc", model="calotype-emoji")
    made.request("heun", options={"upscale": {"factor": 2}, "sharpen": {"amount": 1}})
    made.request("long", model="another")
    made.request("unguided", options={"upscale": {"faktor": 2}})
    made.request("batch", guidance=None)
    made.store.delete(str(made.jobs["painted"].request.mask))
    for name, words in {
        "karras": ("plugins: ", "sampler 'unipc'"),
        "heun": ("plugins: ", "post-processor 'sharpen'"),
        "long": ("model: ", "--model"),
        "unguided": ("options.upscale.faktor: ", "not a field"),
        "batch": ("job: ", "does not say guidance"),
        "painted": ("mask: ", "gone"),
    }.items():
        code, answer = verify(made.home, jobs[name])
        assert code == 2, name
        assert answer["error"].startswith(f"error: {words[0]}")
        assert words[1] in answer["error"]


def test_another_model_of_the_same_name(made: Made, verify: Verify, tmp_path: Path) -> None:
    other = Path(shutil.copytree(EMBEDDED, tmp_path / "other"))
    file = other / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    weights["conv_out.weight"] = weights["conv_out.weight"] * 1.5
    save_file(weights, file)
    code, answer = verify(made.home, made.jobs["karras"].id, "--model", other)
    (picture,) = answer["pictures"]
    assert (code, picture["verdict"]) == (1, "different")
    assert [d["what"] for d in picture["differences"]] == ["model.sha256"]
    assert max(picture["largest"]) > answer["tolerance"]["largest"]


def test_another_number_of_threads(made: Made, tmp_path: Path) -> None:
    # in a process of its own: a process has one number of threads. Where cores are shared they must not wait busily
    words = ("verify", made.jobs["karras"].id, "--threads", "2", "--json")
    ran = calotype(*words, home=made.home, cwd=tmp_path, OMP_WAIT_POLICY="PASSIVE")
    answer = json.loads(ran.stdout)
    (picture,) = answer["pictures"]
    assert (ran.returncode, ran.stderr, answer["good"]) == (0, "", True)
    assert {"what": "threads", "then": "1", "now": "2"} in picture["differences"]
    assert picture["verdict"] in ("same", "same_pixels", "within_tolerance")


def test_an_older_record_goes_as_far_as_it_goes(made: Made, verify: Verify) -> None:
    for record in ({"threads": 1, "device": "cpu", "plugins": {"dpmpp_2m": "0.1.0"}}, {}):
        made.change("UPDATE jobs SET record = ? WHERE id = ?", json.dumps(record), made.jobs["karras"].id)
        code, answer = verify(made.home, made.jobs["karras"].id)
        (picture,) = answer["pictures"]
        assert (code, picture["verdict"], picture["same_conditions"]) == (0, "same", False)
        assert picture["differences"] == []
        assert {"machine.cpu", "model.sha256", "engine_sha256"} <= set(picture["not_recorded"])


def test_other_conditions_are_told(made: Made, verify: Verify) -> None:
    record = made.jobs["karras"].record
    made.record(
        "karras", versions={**record["versions"], "torch": "2.8.0"}, plugins={"karras": "9", "dpmpp_2m": "0.1.0"}
    )
    code, answer = verify(made.home, made.jobs["karras"].id)
    told = {d["what"]: (d["then"], d["now"]) for d in answer["pictures"][0]["differences"]}
    assert code == 0
    assert told["versions.torch"] == ("2.8.0", record["versions"]["torch"])
    assert told["plugins.karras"] == ("9", "0.1.0")


def test_a_parameter_that_its_plugin_did_not_have_then(made: Made, verify: Verify) -> None:
    made.request("karras", options={"upscale": False})
    code, answer = verify(made.home, made.jobs["karras"].id)
    (picture,) = answer["pictures"]
    assert {"what": "options.karras.rho", "then": "–", "now": "7.0"} in picture["differences"]
    assert (code, picture["verdict"]) == (1, "different")


def replaced(made: Made, name: str, data: bytes) -> str:
    """As if the job had drawn these bytes."""
    sha256 = made.store.put(data)
    made.change("UPDATE pictures SET sha256 = ? WHERE job_id = ?", sha256, made.jobs[name].id)
    return sha256


def repainted(made: Made, name: str, by: int) -> bytes:
    """The job's picture with one channel of one pixel moved by so much."""
    with Image.open(made.store.path(made.jobs[name].pictures[0].sha256)) as image:
        red, green, blue = image.getpixel((5, 5))  # type: ignore[misc]
        image.putpixel((5, 5), ((red + by) % 256, green, blue))
        buffer = io.BytesIO()
        image.save(buffer, "PNG", compress_level=6)
    return buffer.getvalue()


def test_other_bytes_under_the_same_conditions_are_said_loudly(
    made: Made, verify: Verify, capsys: pytest.CaptureFixture[str]
) -> None:
    sha256 = replaced(made, "karras", repainted(made, "karras", 1))
    code, answer = verify(made.home, made.jobs["karras"].id)
    (picture,) = answer["pictures"]
    assert (code, answer["good"], picture["verdict"]) == (1, False, "unexplained")
    assert (picture["sha256"], max(picture["largest"])) == (sha256, 1)
    assert cli.main(["verify", made.jobs["karras"].id]) == 1
    said = capsys.readouterr().out
    assert "NOT THE SAME ALTHOUGH EVERY CONDITION IS" in said
    assert "conditions: all the same as then" in said


def test_close_enough_for_other_conditions(made: Made, verify: Verify, capsys: pytest.CaptureFixture[str]) -> None:
    replaced(made, "karras", repainted(made, "karras", 1))
    made.record("karras", threads=1, device_name="Another CPU")
    code, answer = verify(made.home, made.jobs["karras"].id)
    assert (code, answer["pictures"][0]["verdict"]) == (0, "within_tolerance")
    assert cli.main(["verify", made.jobs["karras"].id]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in said[1:3]] == ["", "device_name"]
    assert "Another CPU" in said[2]
    assert "channels differ by 1 of 255 at most" in said[3]


def test_a_file_that_is_gone_or_damaged_leaves_its_sha256(made: Made, verify: Verify) -> None:
    gone, damaged = (made.jobs[name].pictures[0].sha256 for name in ("karras", "unguided"))
    made.store.delete(gone)
    made.store.path(damaged).write_bytes(made.store.path(damaged).read_bytes()[:-1] + b"x")
    for name, words in (("karras", "no longer kept"), ("unguided", "damaged")):
        code, answer = verify(made.home, made.jobs[name].id)
        (picture,) = answer["pictures"]
        assert (code, picture["verdict"]) == (0, "same")
        assert words in picture["remarks"][0]
    made.change("UPDATE pictures SET sha256 = ? WHERE job_id = ?", "0" * 64, made.jobs["karras"].id)
    made.record("karras", device_name="Another CPU")
    code, answer = verify(made.home, made.jobs["karras"].id)
    assert (code, answer["pictures"][0]["verdict"], answer["pictures"][0]["largest"]) == (1, "different", None)


def test_a_post_processor_that_was_skipped_then_is_left_out(made: Made, verify: Verify) -> None:
    plain = made.jobs["unguided"]
    made.request("unguided", options={"upscale": {"factor": 4}})
    made.change(
        "UPDATE pictures SET notes = ? WHERE job_id = ?",
        json.dumps(["Upscale was skipped: it did not come back within 60 s"]), plain.id,
    )  # fmt: skip
    code, answer = verify(made.home, plain.id)
    (picture,) = answer["pictures"]
    assert picture["sha256_now"] == plain.pictures[0].sha256
    assert (code, picture["verdict"]) == (0, "same")
    assert "left out now as well" in picture["remarks"][0]


def test_beside_a_service_that_is_at_work(made: Made, verify: Verify) -> None:
    async def scenario() -> None:
        chosen = Settings.load(home=made.home, threads=1, drain_seconds=0)
        home = Home(made.home)
        assert home.acquire()
        try:
            async with open_service(chosen, home, catalog_for(chosen)) as studio:
                busy = await studio.submit(Request(prompt="red cat", steps=150), OPERATOR)
                code, answer = await asyncio.to_thread(verify, made.home, made.jobs["karras"].id)
                assert (code, answer["pictures"][0]["verdict"]) == (0, "same")
                assert (await studio.history(OPERATOR))[0].id == busy.id
                await studio.cancel(busy.id, OPERATOR)
        finally:
            home.release()

    asyncio.run(asyncio.wait_for(scenario(), 120))


REQUESTS = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from(["blue cat", "(red:1.4) fox in snow", "owl, " * 12]),
        "steps": st.integers(1, 4),
        "seed": st.integers(0, 2**53 - 1),
        "images": st.integers(1, 2),
        "guidance": st.sampled_from([1.0, 2.0, 7.5]),
        "sampler": st.sampled_from(["euler", "euler_ancestral", "heun", "dpmpp_2m"]),
        "schedule": st.sampled_from(["normal", "karras"]),
        "options": st.sampled_from([{"upscale": False}, {"upscale": False, "film_grain": {"strength": 0.3}}]),
    }
)


@given(first=REQUESTS, company=st.lists(REQUESTS, min_size=1, max_size=4))
@settings(max_examples=4)
def test_a_job_comes_out_the_same_whatever_company_it_was_made_in(
    kept: Kept, registry: Registry, whole: Made, first: dict[str, Any], company: list[dict[str, Any]]
) -> None:
    def make_host(listener: Any) -> Any:
        return kept(Settings(), listener, 1)

    catalog, store, now = Catalog(registry, [inspect(EMBEDDED)]), whole.store, datetime.now(UTC)
    jobs = [
        Job(f"{number}", f"test:{number}", catalog.resolve(Request.parse(fields)), JobStatus.FINISHED, now)
        for number, fields in enumerate([first, *company])
    ]
    assignments = [
        replace(as_it_stands(catalog, job, picture, catalog.model(picture), store), job_id=f"{job.id}/{seed}")
        for job in jobs
        for seed in job.request.seeds()
        for picture in [job.request.model_copy(update={"seed": seed, "images": 1})]
    ]
    then = render(make_host, assignments, lambda event: None)
    for index, seed in enumerate(jobs[0].request.seeds()):
        made = then[f"0/{seed}"]
        picture = Picture(index, seed, name_of(made.picture.png), made.picture.width, made.picture.height)
        job = replace(jobs[0], record={**made.record, **plugins_of(catalog, assignments[0])}, pictures=(picture,))
        way, more = retrace(catalog, store, Subject(job, (picture,), {}, {}), picture)
        again = render(make_host, [way], lambda event: None)[way.job_id]
        conditions = Conditions.between(job.record, {**again.record, **plugins_of(catalog, way)}, more)
        assert conditions.same
        assert judge(compare(picture.sha256, None, again.picture.png), conditions) is Verdict.SAME


def test_pictures_that_are_kept_elsewhere(
    made: Made, verify: Verify, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """CALOTYPE_IMAGES is for the commands too that do without a server."""
    elsewhere = tmp_path / "elsewhere"
    (made.home / "images").rename(elsewhere)
    monkeypatch.setenv("CALOTYPE_IMAGES", str(elsewhere))
    job = made.jobs["batch"]
    code, answer = verify(made.home, job.id)
    assert (code, {p["verdict"] for p in answer["pictures"]}) == (0, {"same"})
    store = ImageStore(elsewhere)
    assert all(store.has(picture.sha256) for picture in job.pictures)
    assert cli.main(["moderation", "block-picture", job.id, "--reason", "test"]) == 0
    assert not any(store.has(picture.sha256) for picture in job.pictures)
    assert cli.main(["db", "check"]) == 0
    assert not (made.home / "images").exists()
    capsys.readouterr()
