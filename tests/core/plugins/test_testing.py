"""The checks for authors: each finds the fault it is there for, and says so in one line."""

from __future__ import annotations

import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
import torch
from PIL import Image
from pydantic import Field, model_validator

import calotype
from calotype.errors import SetupError
from calotype.plugins import testing
from calotype.plugins.testing import (
    Check,
    assert_all,
    check_postprocessor,
    check_reviews,
    check_sampler,
    check_schedule,
)


def failures(checks: list[Check]) -> dict[str, str]:
    assert all("\n" not in check.detail and check.detail for check in checks)
    return {check.name: check.detail for check in checks if not check.ok}


def test_importing_it_needs_no_torch() -> None:
    code = "import sys, calotype.plugins.testing; print({'torch', 'numpy', 'PIL'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "set()"


def test_all_is_what_it_has() -> None:
    assert all(hasattr(testing, name) for name in testing.__all__)


def test_assert_all_lists_what_failed() -> None:
    assert_all([Check("a", True, "well")])
    with pytest.raises(AssertionError, match=r"^✗ b: bad$"):
        assert_all([Check("a", True, "well"), Check("b", False, "bad")])


# --- samplers --------------------------------------------------------------------------------------------------


class Euler(calotype.Sampler):
    """Right; the faulty ones are made of it."""

    name, label = "mine", "Mine"

    def calls(self, steps: int) -> int:
        return steps

    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        for sigma, sigma_next in pairwise(sigmas):
            x = self.step(x, (yield calotype.Query(x, sigma)).denoised, sigma, sigma_next, noise)
        return x

    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return x + (sigma_next - sigma) * (x - denoised) / sigma


class TooManyCalls(Euler):
    def calls(self, steps: int) -> int:
        return max(1, steps - 1)


class NoCalls(Euler):
    def calls(self, steps: int) -> int:
        return 0


class NotAGenerator(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        return x


class AsksNothing(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        return x
        yield


class NoQuery(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        for sigma in sigmas[:-1]:
            x = yield x, sigma
        return x


class AsksAtZero(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        for sigma in sigmas[1:]:
            x = (yield calotype.Query(x, sigma)).denoised
        return x


class AsksAtATensor(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        for sigma in torch.tensor(sigmas[:-1]):
            x = (yield calotype.Query(x, sigma)).denoised
        return x


class Exits(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        raise SystemExit(3)


class OtherShape(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        return (yield from super().run(x, sigmas, noise, params))[None]


class NaN(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return x * float("nan")


class InPlace(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        x += (sigma_next - sigma) * (x - denoised) / sigma
        return x


class InPlaceOfTheAnswer(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return denoised.mul_(1 - sigma_next / sigma).add_(x * sigma_next / sigma)


class TakesTheSigmas(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        while len(sigmas) > 1:
            sigma = sigmas.pop(0)
            x = self.step(x, (yield calotype.Query(x, sigma)).denoised, sigma, sigmas[0], noise)
        return x


class Remembers(Euler):
    """As a multistep method would that keeps its history on self."""

    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        self.before = None
        return (yield from super().run(x, sigmas, noise, params))

    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        d = denoised if self.before is None else 1.1 * denoised - 0.1 * self.before
        self.before = denoised
        return x + (sigma_next - sigma) * (x - d) / sigma


class TorchChance(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return super().step(x, denoised, sigma, sigma_next, noise) + sigma_next * torch.randn(x.shape)


class PythonChance(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return super().step(x, denoised, sigma, sigma_next, noise) * random.uniform(0.9, 1.1)


class CannotBeEnded(Euler):
    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        for sigma, sigma_next in pairwise(sigmas):
            try:
                x = self.step(x, (yield calotype.Query(x, sigma)).denoised, sigma, sigma_next, noise)
            except BaseException:  # noqa: BLE001 - the fault itself
                yield calotype.Query(x, sigma)
        return x


class WrongEquation(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return x + 0.9 * (sigma_next - sigma) * (x - denoised) / sigma


class WrongLastStep(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return super().step(x, denoised, sigma, sigma_next, noise) + (0.5 if sigma_next == 0 else 0)


class TooMuchNoise(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return super().step(x, denoised, sigma, sigma_next, noise) + 0.3 * sigma_next * noise()


class TakesNoTail(Euler):
    """Goes on from where noise is high, and takes for granted that there is such a place."""

    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        if sigmas[0] > 1:
            x = yield from super().run(x, sigmas, noise, params)
        return x


class NeedsALargeFirstSigma(Euler):
    """Scales by how far above 1 the first level is: a root of something negative from a picture."""

    def run(self, x: Any, sigmas: Any, noise: Any, params: calotype.Params) -> Any:
        scale = torch.tensor(sigmas[0] - 0.1).sqrt()
        return (yield from super().run(x * scale / scale, sigmas, noise, params))


class Raises(Euler):
    def step(self, x: Any, denoised: Any, sigma: float, sigma_next: float, noise: Any) -> Any:
        return torch.linalg.inv(torch.zeros(2, 3))


@pytest.mark.parametrize(
    ("sampler", "name", "says"),
    [
        (TooManyCalls(), "calls", "it asks more than the 1 times that calls() promises"),
        (NoCalls(), "calls", "calls(1) is 0; it must be a whole number, at least 1"),
        (NotAGenerator(), "calls", "run() returned Tensor; it must yield Query(x, sigma)"),
        (AsksNothing(), "calls", "it ended without asking for the model"),
        (NoQuery(), "result", "it yielded tuple, not a calotype.Query"),
        (AsksAtZero(), "result", "it asked at sigma 0.0"),
        (AsksAtATensor(), "result", "it asked at sigma tensor(15.); a number above 0 is due"),
        (Exits(), "result", "it raised SystemExit: 3 (test_testing.py:"),
        (OtherShape(), "result", "its result is (1, 4, 6, 10) torch.float32, not (4, 6, 10) torch.float32"),
        (NaN(), "result", "holds NaN or infinity"),
        (InPlace(), "in place", "write x = x + …, not x += …"),
        (InPlaceOfTheAnswer(), "in place", "it changes an estimate that it was sent"),
        (TakesTheSigmas(), "in place", "it changes the list of sigmas"),
        (Remembers(), "company", "not on self"),
        (TorchChance(), "global chance", "global generator of torch"),
        (PythonChance(), "global chance", "global generator of random"),
        (TorchChance(), "same seed", "two runs from one seed differ"),
        (CannotBeEnded(), "cancel", "do not yield in except or finally"),
        (WrongEquation(), "accuracy", "an order of at least 0.8 is due"),
        (WrongLastStep(), "accuracy", "look at the last step"),
        (TooMuchNoise(), "accuracy", "stochastic; of N(0.7, 0.5²) it gives mean"),
        (TakesNoTail(), "calls", "of the last 1 of 20 steps, sigmas[0] = 0.03, as from a picture: it ended without"),
        (NeedsALargeFirstSigma(), "result", "of the last 1 of 20 steps, sigmas[0] = 0.03, as from a picture: a query"),
        (NeedsALargeFirstSigma(), "same seed", "as from a picture"),
        (Raises(), "result", "it raised RuntimeError: linalg.inv: A must be batches of square matrices"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, calotype.Sampler) else "",
)
def test_a_faulty_sampler(sampler: calotype.Sampler, name: str, says: str) -> None:
    assert says in failures(check_sampler(sampler))[name]


def test_what_is_raised_is_said_with_its_place_in_the_plugin() -> None:
    line = 1 + Path(__file__).read_text("utf-8").splitlines().index("class Raises(Euler):") + 2
    assert failures(check_sampler(Raises()))["result"].endswith(f" (test_testing.py:{line})")


def test_a_fault_is_not_found_where_there_is_none() -> None:
    assert failures(check_sampler(Euler())) == {}
    assert set(failures(check_sampler(NeedsALargeFirstSigma()))) == {"calls", "result", "in place", "same seed"}
    assert set(failures(check_sampler(Remembers()))) == {"company"}
    assert set(failures(check_sampler(InPlaceOfTheAnswer()))) == {"in place"}


# --- parameters ------------------------------------------------------------------------------------------------


class Bare(calotype.Params):
    eta: float = Field(default=1.0, ge=0.0)


class Required(calotype.Params):
    eta: float = Field(description="How much")


class Narrow(calotype.Params):
    eta: float = Field(default=0.5, ge=0.0, le=1.0, description="How much")

    @model_validator(mode="after")
    def _inner(self) -> Narrow:
        if self.eta == 1:
            raise ValueError("not 1")
        return self


class Divides(calotype.Params):
    eta: float = Field(default=0.5, ge=0.0, le=1.0, description="How much")


@pytest.mark.parametrize(
    ("declared", "says"),
    [
        (Bare, "without a description: eta"),
        (Required, "without a default: eta"),
        (Narrow, "eta=1.0 is within the limits it states, but it is refused"),
        (Divides, "with eta=0.0: ZeroDivisionError"),
    ],
)
def test_faulty_parameters(declared: type[calotype.Params], says: str) -> None:
    class Mine(Euler):
        Params: ClassVar[Any] = declared

        def run(self, x: Any, sigmas: Any, noise: Any, params: Any) -> Any:
            _ = 1 / params.eta
            return (yield from super().run(x, sigmas, noise, params))

    assert says in failures(check_sampler(Mine()))["parameters"]


# --- schedules -------------------------------------------------------------------------------------------------


class Made(calotype.Schedule):
    """Whatever it is given to do."""

    name, label = "mine", "Mine"

    def __init__(self, make: Any) -> None:
        self.make = make

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> Any:
        return self.make(steps, levels)


@pytest.mark.parametrize(
    ("make", "name", "says"),
    [
        (lambda n, levels: [levels.sigma_max, 0.0], "levels", "2 steps: 2 levels; 3 are due"),
        (lambda n, levels: [levels.sigma_max] * n + [0.0], "levels", "level 1, 14.6146, is not below level 0"),
        (lambda n, levels: [(n - i) * 1.0 for i in range(n + 1)], "levels", "it begins at 1; levels.sigma_max, 14.61"),
        (lambda n, levels: [levels.sigma_max - i / 99 for i in range(n + 1)], "levels", "0 is due"),
        (lambda n, levels: [levels.sigma_max] + [float("nan")] * n, "levels", "a level is not finite"),
        (lambda n, levels: [levels.sigma_max / (n - 1)] * (n + 1), "levels", "it raised ZeroDivisionError"),
        (
            lambda n, levels: [levels.sigma_max, *(1 - (i + random.random()) / n for i in range(n - 1)), 0.0],
            "repeatable",
            "it answers differently",
        ),
    ],
)
def test_a_faulty_schedule(make: Any, name: str, says: str) -> None:
    assert says in failures(check_schedule(Made(make)))[name]


# --- post-processors -------------------------------------------------------------------------------------------


class Work(calotype.PostProcessor):
    """Whatever it is given to do."""

    name, label = "mine", "Mine"

    def __init__(self, work: Any, scale: Any = 1) -> None:
        self.work, self.times = work, scale

    def process(self, image: Any, info: calotype.PictureInfo, params: calotype.Params) -> Any:
        return self.work(image)

    def scale(self, params: calotype.Params) -> int:
        return self.times  # type: ignore[no-any-return]


def draw_on(image: Image.Image) -> Image.Image:
    image.paste((0, 0, 0), (0, 0, 4, 4))
    return image


@pytest.mark.parametrize(
    ("plugin", "name", "says"),
    [
        (Work(lambda image: None), "result", "process() returned NoneType, not a PIL.Image.Image"),
        (Work(lambda image: image.convert("L")), "result", "mode L; RGB is due"),
        (Work(lambda image: image.resize((5, 5))), "result", "from 8x8 it made 5x5; 8x8 is due by scale()"),
        (Work(lambda image: image, 2), "result", "from 8x8 it made 8x8; 16x16 is due by scale()"),
        (Work(lambda image: image, 1.5), "result", "scale() is 1.5"),
        (Work(lambda image: image.point(lambda v: v * random.random())), "same input", "the second time"),
        (Work(lambda image: image.point(lambda v: v * random.random())), "global chance", "generator of random"),
        (Work(draw_on), "in place", "work on image.copy()"),
        (Work(lambda image: image.crop((20, 20, 4, 4))), "result", "it raised ValueError"),
    ],
)
def test_a_faulty_postprocessor(plugin: calotype.PostProcessor, name: str, says: str) -> None:
    assert says in failures(check_postprocessor(plugin))[name]


def test_a_slow_postprocessor_is_only_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("calotype.plugins.testing.postprocessors.SLOW", 0.0)
    checks = {check.name: check for check in check_postprocessor(Work(lambda image: image))}
    assert checks["time"].ok
    assert "warning: above 0 s" in checks["time"].detail


# --- reviews ---------------------------------------------------------------------------------------------------


def module(**looks: Any) -> ModuleType:
    made = ModuleType("mine")
    for name, look in looks.items():
        setattr(made, f"calotype_review_{name}", calotype.hookimpl(look))
    return made


def test_good_reviews() -> None:
    strict = lambda request, person: calotype.Refusal("too long") if len(request.prompt) > 99 else None  # noqa: E731
    checks = {c.name: c for c in check_reviews(module(prompt=strict, picture=lambda image, info: None))}
    assert failures(list(checks.values())) == {}
    assert checks["review of prompts"].detail == "2 of 3 harmless prompts pass"
    assert checks["review of pictures"].detail == "4 of 4 harmless pictures pass"
    assert checks["time of a picture"].detail.endswith(" s for 256x256")


def test_a_review_that_lets_nothing_pass_is_warned_of() -> None:
    (check,) = check_reviews(module(prompt=lambda request: calotype.Refusal("no")))
    assert check.ok
    assert check.detail.endswith("warning: it lets nothing pass")


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (lambda image: True, "it returned bool; None lets it pass, a calotype.Refusal does not"),
        (lambda image: image.paste((0, 0, 0), (0, 0, 4, 4)), "work on image.copy()"),
        (lambda info: calotype.Refusal("no") if "cat" in info.prompt else None, "it raised TypeError"),
    ],
)
def test_a_faulty_review_of_pictures(look: Any, says: str) -> None:
    assert says in failures(check_reviews(module(picture=look)))["review of pictures"]


def test_a_module_without_reviews() -> None:
    with pytest.raises(SetupError, match="mine: it adds nothing"):
        check_reviews(module())
    import calotype_plugins.samplers.heun

    with pytest.raises(ValueError, match="reviews nothing"):
        check_reviews(calotype_plugins.samplers.heun)


# --- modules ---------------------------------------------------------------------------------------------------


def test_a_module_that_imports_torch(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "heavy_module.py").write_text("import torch", "utf-8")
    (tmp_path / "light_module.py").write_text("import calotype as calotype_lib; print('torch')", "utf-8")
    assert failures(testing.check_import("light_module")) == {}
    (tmp_path / "gone_module.py").write_text("import no_such_module", "utf-8")
    assert "imports torch; do so inside run()" in failures(testing.check_import("heavy_module"))["import"]
    assert "No module named 'no_such_module'" in failures(testing.check_import("gone_module"))["import"]
