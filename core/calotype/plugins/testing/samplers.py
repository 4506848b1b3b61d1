"""Checks of a sampler."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Final

from calotype.errors import SamplerMisbehaved
from calotype.plugins.testing.check import Check, Fault, ends, global_chance_untouched, outcome, parameters
from calotype.plugins.testing.driving import MU, Drive, S, consistent, drawn, drive, exact, gaussian, spaced, tail
from calotype.sampling import Latents, Sampler

STEPS: Final = (1, 2, 5, 20)
LEFT: Final = (1, 2, 7)
"""Steps, of 20, that image-to-image leaves: the first sigma is then 0.03, 0.05 and 0.41."""
ORDER: Final = 0.8
"""Least order of a deterministic sampler: a method of first order measures 0.9 to 1.1."""
DISTANCE: Final = 0.1
"""Largest distance from the exact solution at the end, with 128 steps: Euler's is 0.03."""
MEAN_ERROR: Final = 0.03
STD_ERROR: Final = 0.04
"""Of a stochastic sampler's 25,600 results at 200 steps. Chance gives 0.003, Euler ancestral's steps 0.01 to 0.02."""
_SHAPE: Final = (4, 6, 10)
_TRIED: Final = ", ".join(map(str, STEPS))
_LAST: Final = ", ".join(map(str, LEFT))


def check_sampler(sampler: Sampler) -> list[Check]:
    """Everything the contract asks of a sampler, on data whose solution is known. Takes a few seconds."""
    measures: dict[str, Callable[[Sampler], str]] = {
        "parameters": _parameters,
        "calls": _calls,
        "result": _result,
        "in place": _in_place,
        "same seed": _same_seed,
        "company": _company,
        "global chance": _global_chance,
        "cancel": _cancel,
        "accuracy": _accuracy,
    }
    return [outcome(name, partial(measure, sampler)) for name, measure in measures.items()]


def order_of_convergence(sampler: Sampler, coarse: int = 32, fine: int = 128) -> float:
    """Measured order: the error against the exact Gaussian falls as steps ** -order. Infinity if there is no error.

    Both runs are looked at where they stand at sigma_min, since the last step, to 0, would hide the order.
    """
    errors = [_error_at_sigma_min(sampler, steps) for steps in (coarse, fine)]
    if max(errors) < 1e-7:  # of latents around 1 to 10: as exact as float32 can say
        return math.inf
    return math.log(errors[0] / errors[1]) / math.log((fine - 1) / (coarse - 1))


def _start(sigma: float = 15.0, seed: int = 1) -> Latents:
    return drawn(sigma, _SHAPE, seed)


def _from_picture(left: int) -> tuple[list[float], Latents]:
    """The last steps of 20, and latents at the first of their levels."""
    sigmas = tail(left)
    return sigmas, MU + _start(math.hypot(S, sigmas[0]))


@contextmanager
def _told(left: int) -> Iterator[None]:
    """A fault that only the tail of a schedule shows says so."""
    try:
        yield
    except (Fault, SamplerMisbehaved) as fault:
        first = f"sigmas[0] = {tail(left)[0]:.2g}"
        raise Fault(f"of the last {left} of 20 steps, {first}, as from a picture: {fault}") from fault


def _error_at_sigma_min(sampler: Sampler, steps: int) -> float:
    """In float64, so that rounding does not hide the order either."""
    sigmas = spaced(steps, 10.0, 0.1)
    start = _start(10.0).double()
    asked = drive(sampler, start, sigmas).asked
    # stages inside the last step may lie below sigma_min
    last = [a for a in asked if a.sigma >= sigmas[-2] * (1 - 1e-9)][-1]
    return max(float((last.x - exact(start, sigmas[0], last.sigma)).abs().max()), 1e-15)


def _parameters(sampler: Sampler) -> str:
    said = parameters(sampler)
    for text, params in ends(sampler.Params):
        try:
            drive(sampler, _start(), spaced(4), params=params)
        except Exception as error:
            raise Fault(f"with {text}: {type(error).__name__}: {error}") from error
    return said


def _calls(sampler: Sampler) -> str:
    used = [_asked(sampler, _start(), spaced(steps)) for steps in STEPS]
    for left in LEFT:
        sigmas, start = _from_picture(left)
        with _told(left):
            _asked(sampler, start, sigmas)
    return f"model calls asked for, of those promised, at {_TRIED} steps: {', '.join(used)}"


def _asked(sampler: Sampler, start: Latents, sigmas: list[float]) -> str:
    steps = len(sigmas) - 1
    calls = sampler.calls(steps)
    if type(calls) is not int or calls < 1:
        raise Fault(f"calls({steps}) is {calls!r}; it must be a whole number, at least 1")
    return f"{len(drive(sampler, start, sigmas).asked)} of {calls}"  # asking more often raises


def _result(sampler: Sampler) -> str:
    for steps in STEPS:
        drive(sampler, _start(), spaced(steps))  # raises for a wrong shape, dtype or value, of queries too
    for left in LEFT:
        sigmas, start = _from_picture(left)
        with _told(left):
            drive(sampler, start, sigmas)
    return f"latents and queries are finite, float32, {_SHAPE}, at {_TRIED} steps, and of the last {_LAST} of 20"


def _in_place(sampler: Sampler) -> str:
    for steps in STEPS:
        _untouched(sampler, _start(), spaced(steps))
    for left in LEFT:
        sigmas, start = _from_picture(left)
        with _told(left):
            _untouched(sampler, start, sigmas)
    return "start, queries and estimates stay as they were"


def _untouched(sampler: Sampler, start: Latents, sigmas: list[float]) -> None:
    start_then, sigmas_then = start.clone(), list(sigmas)
    asked = drive(sampler, start, sigmas).asked
    if sigmas != sigmas_then:
        raise Fault("it changes the list of sigmas it is given; make a new one")
    if not start.equal(start_then):
        raise Fault("it changes the x it is given; write x = x + …, not x += …")
    if not all(a.x.equal(a.x_then) for a in asked):
        raise Fault("it changes a tensor that it asked with; write x = x + …, not x += …")
    if not all(a.denoised.equal(a.denoised_then) for a in asked):
        raise Fault("it changes an estimate that it was sent; make a new tensor")


def _same_seed(sampler: Sampler) -> str:
    for steps in STEPS:
        _repeated(sampler, _start(), spaced(steps))
    for left in LEFT:
        sigmas, start = _from_picture(left)
        with _told(left):
            _repeated(sampler, start, sigmas)
    return "two runs from one seed agree bit for bit"


def _repeated(sampler: Sampler, start: Latents, sigmas: list[float]) -> None:
    first, second = (drive(sampler, start.clone(), list(sigmas)).x for _ in range(2))
    if not first.equal(second):
        raise Fault(f"two runs from one seed differ by up to {float((first - second).abs().max()):.2g}")


def _company(sampler: Sampler) -> str:
    def runs() -> list[Drive]:
        return [
            Drive(sampler, _start(15.0, seed), spaced(steps), seed=seed) for seed, steps in ((1, 7), (2, 12), (3, 5))
        ]

    alone = runs()
    for run in alone:
        while run.step():
            pass
    together = runs()
    waiting = list(together)
    while waiting:
        waiting = [run for run in waiting if run.step()]
    if not all(a.x.equal(b.x) for a, b in zip(alone, together, strict=True)):
        raise Fault("a run comes out differently beside others: keep what a run remembers in run(), not on self")
    return "three runs at once come out as each does alone"


def _global_chance(sampler: Sampler) -> str:
    with global_chance_untouched():
        draws = drive(sampler, _start(), spaced(5)).draws
    return f"no global generator is drawn from; its noise source was asked {draws} times in 5 steps"


def _cancel(sampler: Sampler) -> str:
    slowest = 0.0
    for answered in (0, 1, 3):
        run = Drive(sampler, _start(), spaced(20))
        for _ in range(answered):
            run.step()
        begun = time.perf_counter()
        try:
            run.sampling.close()
        except RuntimeError as error:
            raise Fault(f"close() after {answered} queries: {error}; do not yield in except or finally") from None
        slowest = max(slowest, time.perf_counter() - begun)
        if inspect.isgenerator(run.sampling) and inspect.getgeneratorstate(run.sampling) != inspect.GEN_CLOSED:
            raise Fault(f"close() after {answered} queries does not end it")
    if slowest > 1:
        raise Fault(f"close() takes {slowest:.1f} s; it must end at once")
    return "close() ends it at once, before the first query and between queries"


def _accuracy(sampler: Sampler) -> str:
    if drive(sampler, _start(), spaced(20)).draws:
        return _distribution(sampler)
    order = order_of_convergence(sampler)
    sigmas = spaced(128, 10.0, 0.1)
    distance = float((drive(sampler, _start(10.0), sigmas).x - exact(_start(10.0), 10.0, 0.0)).abs().max())
    figures = f"measured order {order:.2f}, {distance:.3f} from the exact solution after 128 steps"
    if not order >= ORDER:
        raise Fault(f"{figures}: of a deterministic sampler an order of at least {ORDER} is due")
    if not distance <= DISTANCE:
        raise Fault(f"{figures}: at most {DISTANCE} is due; look at the last step, to sigma 0")
    return figures


def _distribution(sampler: Sampler) -> str:
    start = MU + drawn(math.sqrt(S**2 + 15.0**2), (1, 160, 160))
    x = drive(sampler, start, spaced(200), consistent if sampler.distilled else gaussian).x
    mean, std = float(x.mean()), float(x.std())
    figures = f"stochastic; of N({MU}, {S}²) it gives mean {mean:.3f}, standard deviation {std:.3f} after 200 steps"
    if abs(mean - MU) > MEAN_ERROR or abs(std - S) > STD_ERROR:
        raise Fault(f"{figures}; at most {MEAN_ERROR} and {STD_ERROR} off is due")
    return figures
