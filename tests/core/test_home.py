"""One owner, one thread count, a token that only the owner's account can read."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from calotype.config import Settings
from calotype.errors import SetupError
from calotype.home import Home, default_threads


def test_one_process_owns_a_home(tmp_path: Path) -> None:
    first, second = Home(tmp_path / "h"), Home(tmp_path / "h")
    assert first.acquire()
    assert not second.acquire()
    address = first.announce("http://127.0.0.1:1")
    assert second.server() == address
    mode = (tmp_path / "h" / "server.json").stat().st_mode
    assert stat.S_IMODE(mode) == 0o600
    assert address.token not in repr(first)
    first.release()
    assert second.server() is None
    assert second.acquire()
    second.announce("http://127.0.0.1:2")
    second._lock.release()  # as after kill -9: the address is left behind
    assert first.acquire()
    assert first.server() is None
    first.release()


def test_threads_are_chosen_once(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert home.written_threads() is None
    assert list(tmp_path.iterdir()) == [], "asking writes nothing"
    chosen = home.threads(None)
    assert chosen == home.written_threads() == default_threads() >= 1
    (tmp_path / "engine.json").write_text('{"threads": 5}')
    assert home.threads(None) == 5
    assert home.threads(2) == 2
    (tmp_path / "engine.json").write_text("{")
    with pytest.raises(SetupError, match=r"engine\.json"):
        home.threads(None)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError, match=r"CALOTYPE_HOME: .*cannot be written"):
        Home(tmp_path / "file" / "home").acquire()


def test_settings_name_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALOTYPE_PORT", "99999")
    with pytest.raises(SetupError, match=r"CALOTYPE_PORT: .*at most 65535"):
        Settings.load()
    monkeypatch.setenv("CALOTYPE_PORT", "0")
    monkeypatch.setenv("CALOTYPE_PLUGINS", "a, b,")
    assert Settings.load(host=None).plugins == ("a", "b")
    monkeypatch.setenv("CALOTYPE_DEVICE", "abacus")
    with pytest.raises(SetupError, match=r"CALOTYPE_DEVICE"):
        Settings.load()
