"""One sha256 over several files."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from calotype import digest as digests
from calotype.digest import code_of, digest


def module(file: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    return importlib.util.module_from_spec(spec)


def test_names_order_and_content_count(tmp_path: Path) -> None:
    first, second = tmp_path / "1", tmp_path / "2"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    whole = digest([("a", first), ("b", second)])
    assert digest([("b", second), ("a", first)]) == whole
    assert digest([("a", second), ("b", first)]) != whole
    assert digest([("a", first)]) != whole
    assert digest([("ab", first), ("", second)]) != whole
    second.write_bytes(b"twO")
    assert digest([("a", first), ("b", second)]) != whole


def test_of_a_huge_file_only_the_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_WHOLE", 3)
    file = tmp_path / "weights"
    file.write_bytes(b"1234")
    before = digest([("w", file)])
    file.write_bytes(b"4321")
    assert digest([("w", file)]) == before
    file.write_bytes(b"54321")
    assert digest([("w", file)]) != before


def test_the_code_of_a_module_alone_and_of_a_package(tmp_path: Path) -> None:
    for name in ("alone.py", "beside.py"):
        (tmp_path / name).write_text("")
    alone = module(tmp_path / "alone.py", "alone")
    before = code_of(alone)
    (tmp_path / "beside.py").write_text("x = 1")
    assert code_of(alone) == before
    (tmp_path / "alone.py").write_text("x = 1")
    assert code_of(alone) != before

    package = tmp_path / "package"
    (package / "data" / "__pycache__").mkdir(parents=True)
    (package / "plugin.py").write_text("")
    plugin = module(package / "plugin.py", "package.plugin")
    before = code_of(plugin)
    (package / "data" / "__pycache__" / "x.pyc").write_bytes(b"compiled")
    assert code_of(plugin) == before
    (package / "data" / "weights").write_bytes(b"learned")
    assert code_of(plugin) != before


def test_code_without_files() -> None:
    assert code_of(ModuleType("nowhere")) is None
    inside = ModuleType("inside")
    inside.__file__ = "/archive.zip/inside.py"
    assert code_of(inside) is None
