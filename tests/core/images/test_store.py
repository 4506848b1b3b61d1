"""The image store: whole files only, named by their content."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from calotype.errors import SetupError
from calotype.images import store as image_store
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


def test_a_damaged_file_of_the_same_length_is_written_anew(store: ImageStore) -> None:
    store.put(DATA)
    store.path(SHA).write_bytes(DATA[:-1] + b"!")
    store.put(DATA)
    assert store.get(SHA) == DATA


def test_looking_creates_nothing(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images", create=False)
    assert not store.has(SHA)
    assert list(store) == []
    assert list(tmp_path.iterdir()) == []


def test_verify_reads_every_file(store: ImageStore) -> None:
    good, cut, changed = (store.put(DATA + bytes([n])) for n in range(3))
    store.path(cut).write_bytes(DATA[:10])
    store.path(changed).write_bytes(DATA + b"?")
    assert {each.sha256: (each.size, each.problem is None) for each in store.verify()} == {
        good: (len(DATA) + 1, True),
        cut: (10, False),
        changed: (len(DATA) + 1, False),
    }
    (missing,) = store.verify([SHA])
    assert (missing.sha256, missing.problem) == (SHA, "its file is missing")
    assert [each.problem for each in store.verify([good])] == [None]


def test_verify_of_a_file_that_cannot_be_read(reachable: Path) -> None:
    store = ImageStore(reachable / "images")
    store.put(DATA)
    store.path(SHA).chmod(0)
    with ordinary_user():
        (found,) = store.verify()
    assert found.problem is not None and found.problem.startswith("it cannot be read: ")


PUT = """
import os, signal, sys
from pathlib import Path
from calotype.images import store

class Torn:
    def __init__(self, file):
        self.file = file
    def __enter__(self):
        return self
    def __exit__(self, *_):
        pass
    def write(self, data):
        self.file.write(data[: len(data) // 2])
        self.file.flush()
        die()

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

stage, data = sys.argv[1], sys.stdin.buffer.read()
images = store.ImageStore(Path(sys.argv[2]))
images._make_folder(images._file(store.name_of(data)).parent)
if stage == "write":
    opened = Path.open
    Path.open = lambda self, mode="r": Torn(opened(self, mode)) if mode == "xb" else opened(self, mode)
elif stage == "fsync":
    os.fsync = die
elif stage == "rename":
    Path.replace = die
elif stage == "folder":
    store._sync = die
images.put(data)
"""


@pytest.mark.parametrize(("stage", "files_then"), [("write", 0), ("fsync", 0), ("rename", 0), ("folder", 1)])
def test_killed_in_the_middle_of_a_put(tmp_path: Path, stage: str, files_then: int) -> None:
    ran = subprocess.run([sys.executable, "-c", PUT, stage, str(tmp_path / "images")], input=DATA, check=False)
    assert ran.returncode == -signal.SIGKILL
    store = ImageStore(tmp_path / "images")
    assert [each.problem for each in store.verify()] == [None] * files_then
    assert store.has(SHA) is bool(files_then)
    parts = list(store.folder.rglob("*.part"))
    assert len(parts) == 1 - files_then
    assert store.put(DATA) == SHA
    assert store.get(SHA) == DATA
    assert store.sweep(datetime.now(UTC) + DAY) == len(parts)
    assert files(store) == [f"{SHA[:2]}/{SHA}.png"]


AGAIN = """
import sys
from pathlib import Path
from calotype.images.store import ImageStore
store, data = ImageStore(Path(sys.argv[1])), bytes.fromhex(sys.stdin.readline())
print("ready", flush=True)
sys.stdin.readline()
store.put(data)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no file locks there")
def test_a_sweep_spares_what_another_process_puts_again(store: ImageStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put(DATA)
    age(store, SHA, by=DAY * 3)
    command = [sys.executable, "-c", AGAIN, str(store.folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None and other.stdout is not None
        print(DATA.hex(), file=other.stdin, flush=True)
        assert other.stdout.readline() == "ready\n"
        modified = image_store._modified

        def dawdling(file: Path) -> datetime:
            """Between the look at the file's age and its end the other process has time to put it again."""
            then = modified(file)
            print("now", file=other.stdin, flush=True)
            with suppress(subprocess.TimeoutExpired):
                other.wait(0.5)
            return then

        monkeypatch.setattr(image_store, "_modified", dawdling)
        assert store.delete(SHA, unless_put_since=datetime.now(UTC) - DAY)
    assert other.returncode == 0
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
