"""A clock that is wrong by what ``$FAULTS_CLOCK`` holds: seconds, read anew each time. Monotonic ones are right."""

import contextlib
import datetime
import os
import time

with contextlib.suppress(ImportError):
    import pandas  # noqa: F401 - its modules in C take no other datetime than the original, once they are loaded

_true = time.time
_true_ns = time.time_ns
_file = os.environ["FAULTS_CLOCK"]


def _shift() -> int:
    try:
        with open(_file, encoding="ascii") as file:  # noqa: PTH123 - nothing but builtins: this comes before all else
            return int(file.read() or 0)
    except (OSError, ValueError):  # being written
        return 0


class _Real(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, _original)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return issubclass(subclass, _original)


_original = datetime.datetime


class _Wrong(_original, metaclass=_Real):
    __slots__ = ()  # as large as the original, or modules in C that have its size built in do not take it

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:
        return _original.fromtimestamp(time.time(), tz)

    @classmethod
    def utcnow(cls) -> datetime.datetime:
        return _original.fromtimestamp(time.time(), datetime.UTC).replace(tzinfo=None)


time.time = lambda: _true() + _shift()
time.time_ns = lambda: _true_ns() + _shift() * 10**9
_Wrong.__name__ = _Wrong.__qualname__ = "datetime"
datetime.datetime = _Wrong  # type: ignore[misc]
