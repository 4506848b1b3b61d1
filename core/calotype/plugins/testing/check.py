"""What a check is, and the ones that every kind of plugin shares: its parameters, and chance that is not its own."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from traceback import extract_tb
from typing import Any, Final, Literal, TypeAlias, get_args, get_origin

import annotated_types as limits
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from calotype.errors import SamplerMisbehaved
from calotype.postprocess import PostProcessor
from calotype.sampling import Params, Sampler, Schedule

Thing: TypeAlias = Sampler | Schedule | PostProcessor
_INSIDE: Final = 1e-3
"""How far inside an open limit of a float its end is tried."""


@dataclass(frozen=True)
class Check:
    """One thing that was checked. ``detail`` is one line: what was measured, or what is wrong."""

    name: str
    ok: bool
    detail: str

    def __str__(self) -> str:
        return f"{'✓' if self.ok else '✗'} {self.name}: {self.detail}"


class Fault(Exception):
    """What a check found to be wrong, in one line."""


def assert_all(checks: Iterable[Check]) -> None:
    """For a plugin's own test: AssertionError that lists the checks that failed, if any did."""
    failed = [str(check) for check in checks if not check.ok]
    if failed:
        raise AssertionError("\n".join(failed))


def outcome(name: str, measure: Callable[[], str]) -> Check:
    """Run one check: what it returns is the detail, what it raises the fault."""
    try:
        return Check(name, True, measure())
    except (Fault, SamplerMisbehaved) as fault:
        return Check(name, False, _line(fault))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a stranger's code may raise anything, SystemExit too: the finding
        return Check(name, False, f"it raised {type(error).__name__}: {_line(error)}{_place(error)}")


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _place(error: BaseException) -> str:
    """Where in the plugin it was raised: not here, and not in the library that the plugin called."""
    frames = [f for f in extract_tb(error.__traceback__) if Path(f.filename).parent != Path(__file__).parent]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


def parameters(thing: Thing) -> str:
    """Every parameter has a default and a description, and takes the ends of its own limits."""
    fields = thing.Params.model_fields
    required = [name for name, field in fields.items() if field.is_required()]
    if required:
        raise Fault(f"without a default: {', '.join(required)}; write Field(default=…)")
    bare = [name for name, field in fields.items() if not field.description]
    if bare:
        raise Fault(f"without a description: {', '.join(bare)}; write Field(…, description=…)")
    tried = [text for text, _ in ends(thing.Params)]
    if not fields:
        return "it has none"
    return f"{', '.join(fields)}" + (f"; tried at {', '.join(tried)}" if tried else "; no limits to try")


def ends(params: type[Params]) -> Iterator[tuple[str, Params]]:
    """Parameters with one field at an end of its limits (or at one of its choices), the others at their defaults."""
    for name, field in params.model_fields.items():
        for value in _values(field):
            try:
                yield f"{name}={value}", params.model_validate({name: value})
            except ValidationError as error:
                reason = error.errors(include_url=False)[0]["msg"]
                raise Fault(f"{name}={value} is within the limits it states, but it is refused: {reason}") from None


def _values(field: FieldInfo) -> list[Any]:
    kind = field.annotation
    if kind is bool:
        return [False, True]
    if get_origin(kind) is Literal:
        return list(get_args(kind))
    if isinstance(kind, type) and issubclass(kind, Enum):
        return list(kind)
    inside = 1 if kind is int else _INSIDE
    found: list[Any] = []
    for entry in field.metadata:
        match entry:
            case limits.Ge(ge=value) | limits.Le(le=value):
                found.append(value)
            case limits.Gt(gt=value):
                found.append(value + inside)  # type: ignore[operator]
            case limits.Lt(lt=value):
                found.append(value - inside)  # type: ignore[operator]
            case _:
                pass
    return found


@contextmanager
def global_chance_untouched() -> Iterator[None]:
    """Fault if the block drew from a generator that everybody shares: jobs would change each other's pictures."""
    before = _states()
    yield
    after = _states()
    used = [name for name in before if before[name] != after[name]]
    if used:
        raise Fault(
            f"it draws from the global generator of {', '.join(used)}: use what the call is given (noise, seed)"
        )


def _states() -> dict[str, Any]:
    import numpy as np
    import torch

    state = np.random.get_state(legacy=False)
    return {
        "random": random.getstate(),
        "numpy": repr(state),
        "torch": torch.get_rng_state().numpy().tobytes(),
    }
