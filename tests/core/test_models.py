"""Models are added, listed, made the default and taken off: in the data folder, and at a running service."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from calotype.bootstrap import catalog_for
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, fingerprint, inspect
from calotype.config import Settings
from calotype.errors import BadRequest, ModelError, NotAllowed, SetupError
from calotype.hub import fetched
from calotype.model_list import ModelList
from calotype.models import Models, add_from
from calotype.person import OPERATOR, Person
from serving import Served, calotype, until

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def models(catalog: Catalog, tmp_path: Path) -> Models:
    return Models(Catalog(catalog.registry, [inspect(EMBEDDED)]), ModelList(tmp_path / "models.json"))


def test_what_is_added_is_written_down_with_its_sha256(models: Models, tiny_sd1: Path, tmp_path: Path) -> None:
    added = asyncio.run(models.add(str(tiny_sd1), OPERATOR, "mine"))
    assert (added.name, added.sha256) == ("mine", fingerprint(inspect(tiny_sd1)))
    (written,) = ModelList(tmp_path / "models.json").all()
    assert (written.folder, written.name, written.sha256) == (tiny_sd1.resolve(), "mine", added.sha256)
    again = asyncio.run(models.add(str(tiny_sd1), OPERATOR))
    assert again == added, "a folder is offered once"
    with pytest.raises(BadRequest, match="is offered as mine already"):
        asyncio.run(models.add(str(tiny_sd1), OPERATOR, "other"))


def test_the_sha256_that_is_asked_for(models: Models, tiny_sd1: Path, tmp_path: Path) -> None:
    right, wrong = fingerprint(inspect(tiny_sd1)), "0" * 64
    with pytest.raises(ModelError, match=f"is {right}, not the one that you gave"):
        asyncio.run(models.add(str(tiny_sd1), OPERATOR, None, wrong))
    assert ModelList(tmp_path / "models.json").all() == []
    assert asyncio.run(models.add(str(tiny_sd1), OPERATOR, None, right)).sha256 == right


def test_default_and_removal(models: Models, tiny_sd1: Path, tmp_path: Path) -> None:
    written = ModelList(tmp_path / "models.json")
    asyncio.run(models.add(str(tiny_sd1), OPERATOR, "mine"))
    asyncio.run(models.use("mine", OPERATOR))
    assert (models._catalog.default_model, written.default) == ("mine", "mine")
    asyncio.run(models.remove("mine", OPERATOR))
    assert (models._catalog.default_model, written.default, written.all()) == ("calotype-emoji", None, [])
    for act in (models.remove, models.use):
        with pytest.raises(BadRequest, match="'mine' is not one of calotype-emoji"):
            asyncio.run(act("mine", OPERATOR))
    with pytest.raises(BadRequest, match="ships with the program"):
        asyncio.run(models.remove("calotype-emoji", OPERATOR))


def test_only_the_operator(models: Models, tiny_sd1: Path) -> None:
    anna = Person("web:anna")
    for act in (models.add(str(tiny_sd1), anna), models.remove("calotype-emoji", anna), models.use("x", anna)):
        with pytest.raises(NotAllowed):
            asyncio.run(act)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "model"), ({"model": 3}, "model"), ({"model": "a\0b"}, "model"),
        ({"model": "x", "colour": "red"}, "colour"),
        ({"model": "x", "name": "no spaces"}, "name"), ({"model": "x", "sha256": "12"}, "sha256"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant(models: Models, body: dict[str, Any], field: str) -> None:
    with pytest.raises(BadRequest) as refused:
        asyncio.run(add_from(models, body, OPERATOR))
    assert refused.value.problems[0].field == field


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no/such/folder/anywhere", "is not there; give the path"), ("../elsewhere", "is not there"),
        ("old.ckpt", "is a pickle file, which can run any code; convert it"),
        ("here.txt", "is a file; give the folder"),
    ],
)  # fmt: skip
def test_what_is_no_model(what: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here.txt").write_text("x")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=said):
        fetched(what)


def test_a_hub_id_without_a_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ModelError, match=r"org/name: it is not in the cache \(HF_HOME\), and the hub cannot be reached"
    ):
        fetched("org/name")


def test_a_name_that_is_taken(models: Models, tiny_sd1: Path) -> None:
    with pytest.raises(SetupError, match="is taken by"):
        asyncio.run(models.add(str(tiny_sd1), OPERATOR, "calotype-emoji"))


def test_the_list_as_it_was_written_at_first(tiny_sd1: Path, tmp_path: Path) -> None:
    (tmp_path / "models.json").write_text(json.dumps([str(tiny_sd1), str(tmp_path / "gone")]))
    catalog = catalog_for(Settings(home=tmp_path))
    assert list(catalog.models) == ["calotype-emoji", "tiny-sd1"]
    assert catalog.models["tiny-sd1"].sha256 is None, "nobody knows what it was"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served") / "home")
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait()


@pytest.fixture(params=["alone", "served"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run:
    home = tmp_path / "home" if request.param == "alone" else request.getfixturevalue("served").home
    return lambda *words: calotype("models", *words, home=home, cwd=tmp_path)


def test_the_command_line(run: Run, tiny_sd1: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_sd1, tmp_path / "a model")
    done = run("add", "a model", "--name", "mine")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"mine: sd1, 64x64, sha256 {fingerprint(inspect(folder))}\n"
    first, second = json.loads(run("list", "--json").stdout)
    assert (first["name"], first["default"], first["sha256"]) == ("calotype-emoji", True, None)
    assert (second["name"], second["folder"], second["family"]) == ("mine", str(folder), "sd1")
    assert run("default", "mine").stdout == "mine: is used where a request names none\n"
    assert "mine (default)" in run("list").stdout
    assert run("remove", "mine").stdout == f"mine: removed; its files stay in {folder}\n"
    assert [each["name"] for each in json.loads(run("list", "--json").stdout)] == ["calotype-emoji"]
    for words, said in (
        (("add", "nothing/there/is"), "is not there"),
        (("remove", "mine"), "is not one of calotype-emoji"),
        (("add", "a model", "--sha256", "0" * 64), "not the one that you gave"),
        (("add", "x", "--name", "a b"), "name: "),
    ):  # fmt: skip
        done = run(*words)
        assert (done.returncode, done.stdout) == (2, ""), done
        assert said in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_files_that_changed_are_not_loaded(tiny_sd1: Path, served: Served, tmp_path: Path) -> None:
    """And what is loaded goes on serving."""
    folder = shutil.copytree(tiny_sd1, tmp_path / "changed")
    assert calotype("models", "add", str(folder), home=served.home, cwd=tmp_path).returncode == 0
    config = folder / "scheduler" / "scheduler_config.json"
    config.write_text(config.read_text().replace("0.012", "0.013"))
    with served.client() as client:
        job = client.post("/v1/jobs", json={"prompt": "cat", "steps": 1, "model": "changed"}).json()["job_id"]
        until(lambda: client.get(f"/v1/jobs/{job}").json()["status"] == "failed", "the end of the job")
        assert "the model changed cannot be used" in client.get(f"/v1/jobs/{job}").json()["error"]
        fine = client.post("/v1/jobs", json={"prompt": "cat", "steps": 1}).json()["job_id"]
        until(lambda: client.get(f"/v1/jobs/{fine}").json()["status"] == "finished", "another job")
    assert "are not those that were added" in served.log.read_text()
    assert calotype("models", "remove", "changed", home=served.home, cwd=tmp_path).returncode == 0
