"""A stranger's plugin, installed as pip would: a module and a distribution with an entry point."""

from __future__ import annotations

from pathlib import Path


def write_plugin(folder: Path, name: str, source: str, version: str = "1.2") -> None:
    """Write the module and its metadata; ``folder`` must be on the path of whoever is to find them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(source, "utf-8")
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[calotype.plugins]\n{name} = {name}\n", "utf-8")
