"""What an operator names as a model: a path, or the id of a repository on the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from calotype.errors import ModelError
from calotype.single_file import convert

_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_PICKLES: Final = (".ckpt", ".pt", ".pth", ".bin")
_WANTED: Final = ("*.json", "*.txt", "*.model", "*.safetensors")
_FAR: Final = "it is not in the cache (HF_HOME), and"


def fetched(what: str, converted: Path | None = None) -> Path:
    """The folder: where it is, or where the hub's cache has it once it is fetched. Blocks.

    A single safetensors file is written out as a folder in ``converted``, by its name, once.

    Raises :class:`ModelError` in one line for what is neither, for files that can run any code, and where there is no
    network.
    """
    path = Path(what).expanduser()
    if path.is_dir():
        return path.absolute()
    if path.suffix.lower() in _PICKLES:
        raise ModelError(
            f"model: {what} is a pickle file, which can run any code; convert it to a diffusers folder of safetensors "
            "in a place that you can throw away (diffusers: convert_original_stable_diffusion_to_diffusers.py)"
        )
    if path.suffix.lower() == ".safetensors" and path.is_file() and converted is not None:
        return convert(path.absolute(), converted / path.stem)
    if path.is_file():
        raise ModelError(f"model: {what} is a file; give the folder in diffusers' layout that it belongs to")
    if not _ID.fullmatch(what) or what.startswith((".", "~")):
        raise ModelError(f"model: {what} is not there; give the path of a diffusers folder, or a hub id: org/name")
    return _downloaded(what)


def _downloaded(repository: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=list(_WANTED)))
    except RepositoryNotFoundError:
        raise ModelError(f"model: {repository} is not on the hub, or wants a login (hf auth login)") from None
    except LocalEntryNotFoundError:
        raise ModelError(f"model: {repository}: {_FAR} the hub cannot be reached; are you offline?") from None
    except HFValidationError as error:
        raise ModelError(f"model: {repository} is no id of the hub: {error}") from None
    except (OSError, ValueError, RuntimeError) as error:  # whatever httpx and the hub's client make of a network
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        raise ModelError(f"model: {repository}: {_FAR} it could not be fetched: {reason}") from error
