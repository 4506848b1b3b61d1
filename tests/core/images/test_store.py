"""The image store: whole files only, named by their content."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from calotype.errors import SetupError
from calotype.images.store import ImageStore
from unprivileged import ordinary_user, reachable_folder

DATA = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40
SHA = hashlib.sha256(DATA).hexdigest()
DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path: Path) -> ImageStore:
    return ImageStore(tmp_path / "images")


@pytest.fixture
def reachable() -> Iterator[Path]:
    with reachable_folder() as folder:
        yield folder


def files(store: ImageStore) -> list[str]:
    return sorted(str(file.relative_to(store.folder)) for file in store.folder.rglob("*") if file.is_file())


def age(store: ImageStore, sha256: str, by: timedelta) -> None:
    then = (datetime.now(UTC) - by).timestamp()
    os.utime(store.path(sha256), (then, then))


def test_put_get_delete(store: ImageStore) -> None:
    assert store.put(DATA) == SHA
    assert files(store) == [f"{SHA[:2]}/{SHA}.png"]
    assert store.has(SHA)
    assert store.get(SHA) == DATA
    assert store.path(SHA).read_bytes() == DATA
    (stored,) = store
    assert stored.sha256 == SHA
    assert abs(stored.modified - datetime.now(UTC)) < timedelta(minutes=1)
    assert store.delete(SHA)
    assert not store.delete(SHA)
    assert files(store) == []


@pytest.mark.parametrize("name", ["", "ab", "../../etc/passwd", SHA.upper(), f"{SHA}\n", SHA[:-1] + "/", "é" * 64, SHA])
def test_what_is_not_there_is_a_key_error(store: ImageStore, name: str) -> None:
    assert not store.has(name)
    for call in (store.path, store.get):
        with pytest.raises(KeyError):
            call(name)
    assert not store.delete(name)


def test_putting_twice_writes_once_and_counts_as_put_now(store: ImageStore) -> None:
    store.put(DATA)
    inode = store.path(SHA).stat().st_ino
    age(store, SHA, by=DAY * 3)
    assert store.put(DATA) == SHA
    assert store.path(SHA).stat().st_ino == inode
    assert not store.delete(SHA, unless_put_since=datetime.now(UTC) - DAY)
    age(store, SHA, by=DAY * 3)
    assert store.delete(SHA, unless_put_since=datetime.now(UTC) - DAY)


def test_a_shortened_file_is_written_anew(store: ImageStore) -> None:
    store.put(DATA)
    store.path(SHA).write_bytes(DATA[:10])
    store.put(DATA)
    assert store.get(SHA) == DATA


def test_other_files_are_not_pictures(store: ImageStore) -> None:
    store.put(DATA)
    (store.folder / "ab").mkdir(exist_ok=True)
    (store.folder / "ab" / "notes.png").write_bytes(b"")
    (store.folder / "readme.txt").write_text("")
    assert [stored.sha256 for stored in store] == [SHA]


@pytest.mark.parametrize(("code", "words"), [(errno.ENOSPC, "free some disk space"), (errno.EROFS, "writable")])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_refuses(
    store: ImageStore, monkeypatch: pytest.MonkeyPatch, code: int, words: str, step: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    if step == "fsync":
        monkeypatch.setattr("calotype.images.store.os.fsync", refuse)
    else:
        monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(SetupError, match=words) as caught:
        store.put(DATA)
    assert "\n" not in str(caught.value)
    assert str(store.folder) in str(caught.value)
    monkeypatch.undo()
    assert files(store) == []
    assert store.put(DATA) == SHA


def test_a_folder_that_may_not_be_written(reachable: Path) -> None:
    store = ImageStore(reachable / "images")
    store.folder.chmod(0o555)
    reachable.chmod(0o555)
    with ordinary_user():
        with pytest.raises(SetupError, match="writable"):
            store.put(DATA)
        with pytest.raises(SetupError, match="writable"):
            ImageStore(reachable / "other")
    assert files(store) == []


def test_sweep_takes_only_stale_parts(store: ImageStore) -> None:
    store.put(DATA)
    age(store, SHA, by=DAY * 3)
    old, new = (store.path(SHA).with_name(f"{name}.part") for name in ("old", "new"))
    for part in (old, new):
        part.write_bytes(b"half")
    then = (datetime.now(UTC) - DAY * 2).timestamp()
    os.utime(old, (then, then))
    assert store.sweep(datetime.now(UTC) - DAY) == 1
    assert (old.exists(), new.exists(), store.get(SHA)) == (False, True, DATA)


def test_nobody_ever_sees_half_a_file(store: ImageStore) -> None:
    """Four threads put the same pictures over and over while one deletes and one reads."""
    pictures = [bytes([n]) * 300_000 for n in range(4)]
    stop = threading.Event()

    def loop(step: Callable[[bytes], object]) -> None:
        while not stop.is_set():
            for picture in pictures:
                step(picture)

    def read(_: bytes) -> None:
        for stored in store:
            try:
                data = store.get(stored.sha256)
            except KeyError:
                continue
            assert hashlib.sha256(data).hexdigest() == stored.sha256

    def delete(picture: bytes) -> None:
        store.delete(hashlib.sha256(picture).hexdigest())

    with ThreadPoolExecutor(6) as threads:
        running = [threads.submit(loop, step) for step in (store.put, store.put, store.put, store.put, delete, read)]
        stop.wait(0.7)
        stop.set()
        for thread in running:
            thread.result()
    assert not list(store.folder.rglob("*.part"))
