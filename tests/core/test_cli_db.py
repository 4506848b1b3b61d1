"""``calotype db``: what it says, its exit codes, and that it keeps away from a database at which a service works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from calotype.cli import main
from calotype.home import Home
from calotype.images.intake import encode
from calotype.images.store import ImageStore
from calotype.job import Picture
from calotype.ledger import Ledger, migrate
from calotype.person import Person
from calotype.plugins.testing import picture
from calotype.request import Request
from databases import PostgresServer, postgres_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[PostgresServer]:
    with postgres_server() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """A home that is not there yet, with a database of either kind."""
    folder = tmp_path / "home"
    monkeypatch.setenv("CALOTYPE_HOME", str(folder))
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        monkeypatch.setenv("CALOTYPE_DATABASE_URL", server.empty())
    return Home(folder)


def url_of(home: Home) -> str:
    import os

    return os.environ.get("CALOTYPE_DATABASE_URL") or home.database_url


def finish_one(home: Home, png: bytes = b"picture") -> str:
    """A job with a picture; the picture's name."""
    sha256 = ImageStore(home.images).put(png)
    with closing(Ledger(url_of(home))) as ledger:
        ledger.submit(Person("a"), Request(prompt="x"), cost=1.0)
        (job,) = ledger.claim()
        ledger.finish(job.id, job.epoch, [Picture(0, 7, sha256, 64, 64)], {})
    return sha256


def checked(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, object]]:
    capsys.readouterr()
    code = main(["db", "check", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] == (code == 0)
    return code, {each["about"]: each["ok"] for each in found["findings"]}


def test_from_nothing_to_a_backup_and_back(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(capsys) == (1, {"database": False})
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "upgrade"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(f"schema {migrate.head()}, new")
    assert said[1].endswith("nothing to do")
    sha256 = finish_one(home)
    code, found = checked(capsys)
    assert code == 0
    assert {"database", "server", "schema", "clock", "counters", "deliveries", "pictures"} <= found.keys()

    file = tmp_path / "a.zip"
    assert main(["db", "backup", str(file)]) == 0
    assert "1 jobs" in capsys.readouterr().out
    assert main(["db", "restore", str(file)]) == 2
    assert "--force replaces everything" in capsys.readouterr().err
    assert main(["db", "restore", str(file), "--force"]) == 0
    (kept,) = home.backups.iterdir()
    assert str(kept) in capsys.readouterr().out
    assert main(["db", "backup", str(file)]) == 2
    assert "already" in capsys.readouterr().err

    ImageStore(home.images).delete(sha256)
    assert checked(capsys)[1]["pictures"] is False
    assert main(["db", "check"]) == 1
    assert "1 of 1 are missing" in " ".join(capsys.readouterr().out.split())


def test_a_picture_that_the_operator_removed_is_not_missing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["db", "upgrade"]) == 0
    sha256 = finish_one(home, encode(picture(64, 64)))
    with closing(Ledger(url_of(home))) as ledger:
        (job,) = ledger.history(None)
    assert main(["moderation", "block-picture", job.id]) == 0
    assert not ImageStore(home.images).has(sha256)
    code, found = checked(capsys)
    assert (code, found["pictures"]) == (0, True)
    assert main(["db", "check"]) == 0
    assert "1 that the operator removed" in " ".join(capsys.readouterr().out.split())


@contextmanager
def serving(url: str) -> Iterator[None]:
    """As a service does that works on the database; whoever owns the home owns a SQLite file."""
    with closing(Ledger(url)) as ledger:
        if ledger.shared:
            with closing(ledger.session()) as session:
                session.ping()
                yield
        else:
            yield


def test_nothing_is_changed_while_a_service_owns_the_home(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["db", "upgrade"]) == 0
    file = tmp_path / "a.zip"
    assert home.acquire()
    with serving(url_of(home)):
        assert main(["db", "check"]) == 0
        assert main(["db", "upgrade"]) == 0  # there is nothing to do
        assert main(["db", "backup", str(file)]) == 0
        capsys.readouterr()
        assert main(["db", "restore", str(file)]) == 2
        assert "works on it; stop that one" in capsys.readouterr().err
    home.release()
    assert main(["db", "restore", str(file)]) == 0


def test_the_server_of_another_machine_is_not_written_under_its_service(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if "postgresql" not in url_of(home):
        pytest.skip("a SQLite file has one home")
    assert main(["db", "upgrade"]) == 0
    assert main(["db", "backup", str(tmp_path / "a.zip")]) == 0
    with serving(url_of(home)):
        assert main(["db", "restore", str(tmp_path / "a.zip")]) == 2
        assert "works on it; stop that one" in capsys.readouterr().err


def test_a_file_that_is_no_backup(home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x03\x04 hello")
    assert main(["db", "restore", str(tmp_path / "x.zip")]) == 2
    assert capsys.readouterr().err.startswith("error: backup: ")
    assert main(["db", "backup", str(tmp_path / "y.zip")]) == 2
    assert not (tmp_path / "y.zip").exists()
