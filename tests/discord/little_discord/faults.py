"""What goes wrong on purpose. Tests plan it; each plan is used up by the requests it meets."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import Any, Literal

Kind = Literal["answer", "drop", "drop after", "delay", "hold"]


@dataclass
class Plan:
    """One thing that goes wrong, ``times`` times."""

    method: str
    path: re.Pattern[str]
    kind: Kind
    times: int
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    seconds: float = 0.0
    met: int = 0
    """How many requests it has met."""
    arrived: threading.Event = field(default_factory=threading.Event)
    """Set once a request has met it (``drop after`` and ``hold``: and has taken effect)."""
    released: threading.Event = field(default_factory=threading.Event)
    """``hold``: set by the test to let the answer go."""


class Faults:
    """The plans of a test. Paths are regular expressions, searched in the path after ``/api/v10``."""

    def __init__(self) -> None:
        self._plans: list[Plan] = []
        self._lock = threading.Lock()

    def rate_limit(self, method: str, path: str, *, times: int = 1, after: float = 0.3, via: bool = True) -> Plan:
        """429 by Discord itself (``via``), or by the wall before it, which says no reason in JSON."""
        headers = {"Retry-After": f"{after:.3f}"}
        if via:
            headers |= {"Via": "1.1 google", "X-RateLimit-Scope": "shared"}
            body: Any = {"message": "You are being rate limited.", "retry_after": after, "global": False, "code": 0}
        else:
            body = "<html>error code: 1015</html>"
        return self._add(Plan(method, re.compile(path), "answer", times, 429, headers, body))

    def broken(self, method: str, path: str, *, times: int = 1, status: int = 503) -> Plan:
        """A 5xx that reached nobody."""
        return self._add(Plan(method, re.compile(path), "answer", times, status, {}, "upstream connect error"))

    def refused(self, method: str, path: str, *, status: int, code: int, message: str, times: int = 1) -> Plan:
        """A refusal that the request did not earn, e.g. a channel that was closed to the bot."""
        body = {"code": code, "message": message}
        return self._add(Plan(method, re.compile(path), "answer", times, status, {}, body))

    def drop(self, method: str, path: str, *, times: int = 1, after: bool = False) -> Plan:
        """The connection ends without an answer; with ``after``, when the request has taken effect."""
        return self._add(Plan(method, re.compile(path), "drop after" if after else "drop", times))

    def delay(self, method: str, path: str, seconds: float, *, times: int = 1) -> Plan:
        """The request takes effect at once, its answer comes late."""
        return self._add(Plan(method, re.compile(path), "delay", times, seconds=seconds))

    def hold(self, method: str, path: str) -> Plan:
        """The request takes effect; its answer waits until the test releases it."""
        return self._add(Plan(method, re.compile(path), "hold", 1))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            for plan in self._plans:
                plan.released.set()
            self._plans.clear()

    def meet(self, method: str, path: str) -> Plan | None:
        """The plan for this request, if there is one."""
        with self._lock:
            for plan in self._plans:
                if plan.times > plan.met and plan.method == method and plan.path.search(path):
                    plan.met += 1
                    if plan.kind in ("answer", "drop"):
                        plan.arrived.set()
                    return plan
        return None

    def _add(self, plan: Plan) -> Plan:
        with self._lock:
            self._plans.append(plan)
        return plan
