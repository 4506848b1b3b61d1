"""A community plugin that does to its host whatever is written in a file: how a real one would, from inside.

``$CALOTYPE_HOME/faulty.json``: ``{"at": 2, "do": "kill", "once": true}``. Without the file it is Euler's method.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import calotype

ORDERS = "faulty.json"


def _obey(where: int | str) -> None:
    file = Path(os.environ["CALOTYPE_HOME"]) / ORDERS
    try:
        orders: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except OSError:
        return
    if orders["at"] != where:
        return
    if orders.get("once"):
        file.unlink()
    match orders["do"]:
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        case "exit":
            os._exit(3)
        case "segfault":
            ctypes.string_at(0)
        case "hang":
            while True:
                pass
        case "sleep":  # deep in C, with the interpreter's lock given up
            ctypes.CDLL(None).sleep(3600)
        case "slow":
            time.sleep(orders["seconds"])


class Faulty(calotype.Sampler):
    """Euler's method, with orders."""

    name, label = "faulty", "Faulty"

    def calls(self, steps: int) -> int:
        """One a step."""
        return steps

    def run(
        self, x: calotype.Latents, sigmas: calotype.Sigmas, noise: calotype.NoiseSource, params: calotype.Params
    ) -> calotype.Sampling:
        """Obey before each step."""
        for step, (sigma, sigma_next) in enumerate(pairwise(sigmas)):
            _obey(step)
            estimate = yield calotype.Query(x, sigma)
            x = x + (sigma_next - sigma) * (x - estimate.denoised) / sigma
        return x


class LastWords(calotype.PostProcessor):
    """Changes nothing, and obeys while a picture is being finished."""

    name, label, order = "last_words", "Last words", 90

    def process(self, image: Any, info: calotype.PictureInfo, params: calotype.Params) -> Any:
        """Obey."""
        _obey("finishing")
        return image


@calotype.hookimpl
def calotype_samplers() -> list[calotype.Sampler]:
    """One."""
    return [Faulty()]


@calotype.hookimpl
def calotype_postprocessors() -> list[calotype.PostProcessor]:
    """One."""
    return [LastWords()]
