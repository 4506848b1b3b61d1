"""A visitor without a browser: calls the page's endpoints as its script does, and as a stranger might."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Outcome:
    """What one message of a run changed, by the name of the component; HTML without its mark-up in ``text``."""

    changed: dict[str, Any]
    final: bool

    def html(self, name: str) -> str:
        """The new content of an HTML component, or nothing if it stays."""
        value = self.changed.get(name)
        return value if isinstance(value, str) else ""

    @property
    def status(self) -> str:
        return re.sub(r"<[^>]+>", " ", self.html("status")).strip()

    @property
    def addresses(self) -> list[str]:
        return re.findall(r'<img src="([^"]+)"', self.html("stage"))


@dataclass
class Visitor:
    """One tab."""

    client: httpx.Client
    session: str = field(default_factory=lambda: secrets.token_hex(6))

    def __post_init__(self) -> None:
        config = self.client.get("/config").json()
        self._components = {each["id"]: each["props"] for each in config["components"]}
        self._events = {each["api_name"]: each for each in config["dependencies"]}

    def values(self, **changed: Any) -> list[Any]:
        """The fields as the page opens, with some changed, by ``elem_id`` or label in lower case."""
        left = dict(changed)
        found = [left.pop(self._name(i), self._components[i].get("value")) for i in self._events["run"]["inputs"]]
        assert not left, f"no such fields: {left}"
        return found

    def join(self, data: list[Any]) -> httpx.Response:
        """Send a run to Gradio's queue."""
        call = json.dumps({"data": data, "session_hash": self.session})  # in ASCII: broken text can be sent as well
        return self.client.post("/gradio_api/call/run", content=call, headers={"Content-Type": "application/json"})

    def watch(self, event_id: str) -> Iterator[Outcome]:
        """Everything that the call says. Closing the iterator is closing the tab."""
        with self.client.stream("GET", f"/gradio_api/call/run/{event_id}") as stream:
            kind = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line[7:]
                elif line.startswith("data: ") and kind in ("generating", "complete", "error"):
                    yield self._outcome(kind, json.loads(line[6:]))
                    if kind != "generating":
                        return

    def run(self, data: list[Any] | None = None, **changed: Any) -> Iterator[Outcome]:
        """Press Run."""
        answer = self.join(self.values(**changed) if data is None else data)
        assert answer.status_code == 200, answer.text
        return self.watch(answer.json()["event_id"])

    def paint(self, **changed: Any) -> Outcome:
        """Press Run and wait for the end; with everything that was said on the way put together."""
        whole: dict[str, Any] = {}
        for outcome in self.run(**changed):
            whole.update({name: value for name, value in outcome.changed.items() if not isinstance(value, dict)})
        return Outcome(whole, final=True)

    def cancel(self) -> str:
        """Press Cancel; what it says."""
        call = {"data": [], "fn_index": self._events["cancel"]["id"], "session_hash": self.session}
        answer = self.client.post("/gradio_api/run/cancel", json=call)
        assert answer.status_code == 200, answer.text
        return re.sub(r"<[^>]+>", "", answer.json()["data"][0])

    def _name(self, component: int) -> str:
        props = self._components[component]
        return str(props.get("elem_id") or props.get("label") or component).lower().replace(" ", "_")

    def _outcome(self, kind: str, data: Any) -> Outcome:
        if kind == "error":
            return Outcome({"error": data}, final=True)
        names = [self._name(component) for component in self._events["run"]["outputs"]]
        changed = {
            name: value
            for name, value in zip(names, data, strict=True)
            if not (isinstance(value, dict) and set(value) <= {"__type__", "props"})
        }
        return Outcome(changed, final=kind == "complete")
