"""What the command line refuses: in one line, at once, and without a trace."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from calotype.checkpoint import EMBEDDED
from calotype.ledger import upgrade
from serving import PATIENCE, calotype, environment

PICTURE = str(Path(__file__).parents[2] / "docs" / "pictures" / "six.png")
HEAVY = ("torch", "diffusers", "transformers", "gradio", "fastapi")


class Row(NamedTuple):
    """A command that must be refused, and the field that its one line must name."""

    argv: tuple[str, ...]
    field: str
    says: str = ""
    home: str = "absent"
    env: tuple[tuple[str, str], ...] = ()


def _imagine(*words: str, field: str, says: str = "", home: str = "absent", **env: str) -> Row:
    return Row(("imagine", *words), field, says, home, tuple(env.items()))


def _serve(*words: str, field: str, says: str = "", home: str = "absent", **env: str) -> Row:
    return Row(("serve", *words), field, says, home, tuple(env.items()))


def _bench(*words: str, field: str, says: str = "", **env: str) -> Row:
    return Row(("bench", *words), field, says, env=tuple(env.items()))


def _verify(*words: str, field: str, says: str = "", home: str = "absent", **env: str) -> Row:
    return Row(("verify", *words), field, says, home, tuple(env.items()))


ROWS = {
    "empty prompt": _imagine("", field="prompt", says="is empty"),
    "blank prompt": _imagine(" \t ", field="prompt", says="is empty"),
    "10,000 characters": _imagine("x" * 10_000, field="prompt", says="at most 2000"),
    "binary prompt": _imagine("cat \udcff\udcfe", field="prompt"),
    "control characters": _imagine("cat \x1b[31m", field="prompt", says="control characters"),
    "no prompt": _imagine(field="prompt", says="missing"),
    "negative too long": _imagine("cat", "--negative", "x" * 2001, field="negative_prompt", says="at most 2000"),
    "steps 0": _imagine("cat", "--steps", "0", field="steps", says="at least 1"),
    "steps 10**6": _imagine("cat", "--steps", "1000000", field="steps", says="at most 150"),
    "steps no number": _imagine("cat", "--steps", "many", field="steps", says="integer"),
    "images 0": _imagine("cat", "--images", "0", field="images", says="at least 1"),
    "images 99": _imagine("cat", "--images", "99", field="images", says="at most 8"),
    "width no multiple": _imagine("cat", "--width", "65", field="width", says="not a multiple of 8"),
    "height too large": _imagine("cat", "--height", "1000000", field="height", says="at most 2048"),
    "not this model's size": _imagine("cat", "--width", "128", field="width, height", says="use 64x64"),
    "guidance NaN": _imagine("cat", "--guidance", "nan", field="guidance", says="finite"),
    "guidance too large": _imagine("cat", "--guidance", "1e9", field="guidance", says="at most 30"),
    "guidance_rescale": _imagine("cat", "--guidance-rescale", "2", field="guidance_rescale", says="at most 1"),
    "seed negative": _imagine("cat", "--seed", "-1", field="seed", says="at least 0"),
    "seed too large": _imagine("cat", "--seed", str(2**53), field="seed", says=f"at most {2**53 - 1}"),
    "sampler": _imagine("cat", "--sampler", "eulr", field="sampler", says="euler"),
    "schedule": _imagine("cat", "--schedule", "none", field="schedule", says="karras"),
    "model name": _imagine("cat", "--model", "nothing-like-it", field="model", says="calotype-emoji"),
    "plugin": _imagine("cat", "--set", "sharpen.amount=1", field="options.sharpen", says="no such plugin"),
    "parameter": _imagine("cat", "--set", "upscale.faktor=2", field="options.upscale.faktor", says="factor"),
    "parameter's value": _imagine("cat", "--set", "upscale.factor=3", field="options.upscale.factor"),
    "parameter NaN": _imagine("cat", "--set", "film_grain.strength=NaN", field="options.film_grain.strength"),
    "set without value": _imagine("cat", "--set", "upscale", field="set", says="PLUGIN.PARAM=VALUE"),
    "set unused plugin": _imagine("cat", "--set", "karras.rho=5", field="options.karras"),
    "option unknown": _imagine("cat", "--stepz", "3", field="stepz", says="No such option"),
    "command unknown": Row(("paint",), "No such command 'paint'."),
    "output folder": _imagine("cat", "-o", "missing/cat.png", field="output", says="does not exist"),
    "output suffix": _imagine("cat", "-o", "cat.jpg", field="output", says="PNG"),
    "output is a folder": _imagine("cat", "-o", "{models}/folder.png", field="output", says="is a folder"),
    "model folder missing": _imagine("cat", "--model", "{models}/none", field="model", says="not a folder"),
    "model folder empty": _imagine("cat", "--model", "{models}/empty", field="model", says="model_index.json"),
    "model truncated": _imagine("cat", "--model", "{models}/truncated", field="model", says="promises"),
    "model header damaged": _imagine("cat", "--model", "{models}/damaged", field="model", says="safetensors"),
    "model pickled": _imagine("cat", "--model", "{models}/pickled", field="model", says="pickle"),
    "init missing": _imagine("cat", "--init", "none.png", field="init", says="No such file"),
    "init is a folder": _imagine("cat", "--init", "{models}/folder.png", field="init", says="Is a directory"),
    "init no picture": _imagine("cat", "--init", "{models}/truncated/calotype.json", field="init", says="is not a PNG"),
    "init without end": _imagine("cat", "--init", "/dev/zero", field="init", says="at most 20 MiB"),
    "strength alone": _imagine("cat", "--strength", "0.5", field="strength", says="init"),
    "mask alone": _imagine("cat", "--mask", PICTURE, field="mask", says="there is none"),
    "mask missing": _imagine("cat", "--init", PICTURE, "--mask", "none.png", field="mask", says="No such file"),
    "mask no picture": _imagine("cat", "--init", PICTURE, "--mask", "/dev/null", field="mask", says="is not a PNG"),
    "strength 0": _imagine("cat", "--init", PICTURE, "--strength", "0", field="strength", says="above 0"),
    "strength 2": _imagine("cat", "--init", PICTURE, "--strength", "2", field="strength", says="at most 1"),
    "strength NaN": _imagine("cat", "--init", PICTURE, "--strength", "nan", field="strength", says="finite"),
    "home below a file": _imagine("cat", field="CALOTYPE_HOME", says="cannot be written", home="below a file"),
    "database damaged": _imagine("cat", field="database", says="not a SQLite database", home="damaged"),
    "database torn": _imagine("cat", field="database", home="torn"),
    "database newer": _imagine("cat", field="database", says="newer version", home="newer"),
    "setting": _imagine("cat", field="CALOTYPE_THREADS", CALOTYPE_THREADS="none"),
    "log level": _imagine("cat", field="CALOTYPE_LOG_LEVEL", says="DEBUG", CALOTYPE_LOG_LEVEL="LOUD"),
    "plugin not installed": _imagine("cat", field="CALOTYPE_PLUGINS", says="not installed", CALOTYPE_PLUGINS="nope"),
    "serve: port in use": _serve("--port", "{port}", field="port", says="--port"),
    "serve: port in use, home there": _serve("--port", "{port}", field="port", home="empty"),
    "serve: port no number": _serve("--port", "http", field="port", says="integer"),
    "serve: port too large": _serve("--port", "65536", field="CALOTYPE_PORT", says="65535"),
    "serve: host": _serve("--host", "no.such.host.invalid", "--port", "0", field="host", says="127.0.0.1"),
    "serve: not our address": _serve("--host", "192.0.2.1", "--port", "0", field="host", says="not an address"),
    "serve: model missing": _serve("--port", "0", "--model", "{models}/none", field="model", says="not a folder"),
    "serve: database newer": _serve("--port", "0", field="database", says="newer version", home="newer"),
    "serve: home below a file": _serve("--port", "0", field="CALOTYPE_HOME", home="below a file"),
    "bench: model missing": _bench("--model", "/nope", field="model", says="not a folder"),
    "bench: model truncated": _bench("--model", "{models}/truncated", field="model", says="promises"),
    "bench: model of the environment": _bench(field="model", says="not a folder", CALOTYPE_MODEL="/nope"),
    "bench: device": _bench("--device", "foo", field="device", says="'cuda'"),
    "bench: device of the environment": _bench(field="CALOTYPE_DEVICE", says="'cuda'", CALOTYPE_DEVICE="foo"),
    "bench: steps 0": _bench("--steps", "0", field="steps", says="greater than or equal to 1"),
    "verify: nothing": _verify(field="FILE|JOB", says="missing"),
    "verify: neither file nor id": _verify("no-such.png", field="job", says="neither a file nor an id"),
    "verify: a folder": _verify("{models}/empty", field="file", says="is a folder"),
    "verify: without end": _verify("/dev/zero", field="file", says="larger than any picture"),
    "verify: no database": _verify("0" * 32, field="database", says="nothing was made here"),
    "verify: database damaged": _verify("0" * 32, field="database", says="not a database", home="damaged"),
    "verify: no such job": _verify("0" * 32, field="job", says="is not in this history", home="newer"),
    "verify: no such picture": _verify("0" * 64, field="job", says="no picture of that sha256", home="newer"),
    "verify: not made here": _verify(PICTURE, field="file", says="byte for byte", home="newer"),
    "verify: no picture": _verify(
        "{models}/empty/../truncated/calotype.json", field="file", says="is not a PNG", home="newer"
    ),
    "verify: threads 0": _verify("0" * 32, "--threads", "0", field="threads", says="greater than or equal to 1"),
    "verify: device": _verify("0" * 32, "--device", "foo", field="device", says="'cuda'"),
    "verify: database's URL": _verify(
        "0" * 32, field="database", says="use sqlite", CALOTYPE_DATABASE_URL="mysql://x/y"
    ),
    "bench: plugin not installed": _bench(field="CALOTYPE_PLUGINS", says="not installed", CALOTYPE_PLUGINS="nope"),
}

DRIVER = """
import contextlib, io, json, os, sys, time
from pathlib import Path
from calotype.cli import main
for row in json.load(sys.stdin):
    for name in [name for name in os.environ if name.startswith("CALOTYPE_")]:
        del os.environ[name]
    os.environ.update(row["env"])
    os.chdir(row["cwd"])
    out, err, begun = io.StringIO(), io.StringIO(), time.perf_counter()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(row["argv"])
    heavy = [name for name in row["heavy"] if name in sys.modules]
    print(json.dumps([code, out.getvalue(), err.getvalue(), time.perf_counter() - begun, heavy]))
"""
"""Runs ``main`` for row after row: a process each would cost a second each, and show nothing more."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that are no models, each in its own way."""
    root = tmp_path_factory.mktemp("models")
    (root / "empty").mkdir()
    (root / "folder.png").mkdir()
    for name in ("truncated", "damaged", "pickled"):
        shutil.copytree(EMBEDDED, root / name)
    weights = "unet/diffusion_pytorch_model.safetensors"
    whole = (root / "truncated" / weights).read_bytes()
    (root / "truncated" / weights).write_bytes(whole[: len(whole) // 2])
    (root / "damaged" / weights).write_bytes(b"\xff" * 1000)
    (root / "pickled" / weights).rename(root / "pickled" / "unet" / "pytorch_model.bin")
    return root


def _home(kind: str, root: Path) -> Path:
    home = root / "home"
    match kind:
        case "absent":
            return home
        case "below a file":
            (root / "file").touch()
            return root / "file" / "home"
    home.mkdir()
    database = home / "calotype.db"
    match kind:
        case "damaged":
            database.write_bytes(b"this was a database once" * 100)
        case "torn":
            database.write_bytes(b"SQLite format 3\x00" + b"\xff" * 5000)
        case "newer":
            upgrade(f"sqlite:///{database}", None)
            with sqlite3.connect(database) as connection:
                connection.execute("UPDATE alembic_version SET version_num = '9999'")
            connection.close()
    return home


def _content(root: Path) -> dict[str, bytes]:
    """Every file below, but what tells who owns the folder or is opening its database."""
    ours = {"owner.lock", "engine.json", "calotype.db.upgrade.lock", "calotype.db-shm", "calotype.db-wal"}
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file() and p.name not in ours}


class Refusal(NamedTuple):
    """What became of a row."""

    code: int
    out: str
    err: str
    seconds: float
    heavy: list[str]
    before: dict[str, bytes]
    after: dict[str, bytes]
    home_made: bool


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory, models: Path) -> dict[str, Refusal]:
    roots = [tmp_path_factory.mktemp("row") for _ in ROWS]
    homes = [_home(row.home, root) for row, root in zip(ROWS.values(), roots, strict=True)]
    before = [_content(root) for root in roots]
    existed = [home.exists() for home in homes]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [
            {
                "argv": [word.format(models=models, port=taken.getsockname()[1]) for word in row.argv],
                "env": {"CALOTYPE_HOME": str(home), **dict(row.env)},
                "cwd": str(root),
                "heavy": HEAVY,
            }
            for row, home, root in zip(ROWS.values(), homes, roots, strict=True)
        ]
        ran = subprocess.run(
            [sys.executable, "-c", DRIVER],
            input=json.dumps(given),
            env=environment(homes[0]),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    return {
        name: Refusal(*result, was, _content(root), home.exists() and not there)
        for name, result, was, root, home, there in zip(ROWS, found, before, roots, homes, existed, strict=True)
    }


@pytest.mark.parametrize("name", ROWS)
def test_bad_input_is_refused_in_one_line_at_once(name: str, refusals: dict[str, Refusal]) -> None:
    row, refusal = ROWS[name], refusals[name]
    assert refusal.code == 2, refusal.err
    assert refusal.out == ""
    assert refusal.err.count("\n") == 1
    assert refusal.err.startswith(f"error: {row.field}"), refusal.err
    assert row.says in refusal.err
    assert "Traceback" not in refusal.err
    assert refusal.heavy == []
    assert refusal.seconds < 4
    assert refusal.after == refusal.before
    assert not refusal.home_made


def test_binary_words_of_a_real_process(tmp_path: Path) -> None:
    ran = calotype("imagine", b"cat \xff\xfe\x80", home=tmp_path / "home", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("error: prompt: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--help"], ["imagine", "--help"], ["serve", "--help"], ["version"], []])
def test_help_imports_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "calotype", *words],
        env=environment(tmp_path / "home"),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert ran.stdout
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in ran.stderr.splitlines()}
    assert imported.isdisjoint({*HEAVY, "sqlalchemy", "httpx", "numpy", "PIL"})
    assert "calotype" in imported
