"""The same latents as diffusers' schedulers, for the same model, noise levels and noise.

The tolerance is that of float32 latents, about 3 at the end, so that 1e-4 is five digits; some of diffusers'
schedulers work on x scaled to unit variance. Its noise levels, which it keeps in float32, are given to it in float64,
since some of its methods subtract nearly equal ones (at 2 and 3 steps dpm_2_ancestral would be 3e-3 off).
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DEISMultistepScheduler,
    DPMSolverMultistepScheduler,
    DPMSolverSinglestepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    IPNDMScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from calotype.plugins.registry import Registry
from calotype.plugins.testing import Drive, drawn, drive, spaced

pytestmark = pytest.mark.filterwarnings("ignore:__array:DeprecationWarning")  # diffusers' use of numpy, 80,000 times

ATOL = 1e-4
SAMPLERS = Registry.discover().samplers
SD = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LINSPACE, KARRAS = {"timestep_spacing": "linspace"}, {"use_karras_sigmas": True}


def fake_epsilon(scaled: Tensor, sigma: float) -> Tensor:
    """A model that predicts noise: nonlinear, mixes positions, depends on the level. ``scaled`` has unit variance."""
    mixed = 0.6 * scaled + 0.4 * scaled.roll(1, -1)
    return torch.tanh(1.3 * mixed + 0.2 * math.log(sigma)) + 0.3 * torch.sin(2 * scaled)


def fake_denoised(x: Tensor, sigma: float) -> Tensor:
    return x - sigma * fake_epsilon(x / math.sqrt(1 + sigma**2), sigma)


def ours(name: str, sigmas: list[float], **options: Any) -> Drive:
    sampler = SAMPLERS[name]
    return drive(sampler, drawn(sigmas[0]), sigmas, fake_denoised, seed=5, params=sampler.Params(**options))


def theirs(scheduler: Any, start: Tensor, levels: list[float], **more: Any) -> Tensor:
    """As diffusers' pipelines call it, at ``levels``: one for each of its calls."""
    x = start
    for timestep, level in zip(scheduler.timesteps, levels, strict=False):
        model_output = fake_epsilon(scheduler.scale_model_input(x, timestep), level)
        x = scheduler.step(model_output, timestep, x, **more).prev_sample
    return x


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def levels_of(scheduler: Any) -> list[float]:
    """Its noise levels, made float64. Those of two calls a step stand in it twice."""
    scheduler.sigmas = scheduler.sigmas.double()
    sigmas = sorted(set(scheduler.sigmas.tolist()), reverse=True)
    if isinstance(scheduler, KDPM2AncestralDiscreteScheduler):  # its own tables of them, by its own formulae
        now = torch.tensor(sigmas, dtype=torch.float64)
        after = torch.tensor([*sigmas[1:], 0.0], dtype=torch.float64)
        up = after * (1 - (after / now) ** 2).clamp(min=0).sqrt()
        down = after**2 / now
        for name, table in {"up": up, "down": down, "interpol": (now * down).sqrt()}.items():
            table[-1] = 0.0
            setattr(scheduler, f"sigmas_{name}", torch.cat([table[:1], table[1:].repeat_interleave(2), table[-1:]]))
    return sigmas


def close(mine: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(mine, other, atol=ATOL, rtol=0)


class Pair(NamedTuple):
    name: str
    kind: Any
    config: Mapping[str, Any] = MappingProxyType({})
    options: Mapping[str, Any] = MappingProxyType({})
    noise: bool = False

    def __str__(self) -> str:
        return "-".join([self.name, *(str(value) for value in self.options.values())])


MULTISTEP = DPMSolverMultistepScheduler


class ThirdOrderSDE(DPMSolverMultistepScheduler):
    """diffusers' own, but for a sign: it takes -½ D2 where its deterministic twin, and k-diffusion, take +½ D2.

    With it the term does not vanish for small steps, and the method is of first order at best.
    """

    def multistep_dpm_solver_third_order_update(
        self, model_output_list: list[Tensor], *args: Any, **keywords: Any
    ) -> Tensor:
        x = super().multistep_dpm_solver_third_order_update(model_output_list, *args, **keywords)
        near = self.sigmas[self.step_index - 2 : self.step_index + 2]
        h_1, h_0, h = near[:-1].log() - near[1:].log()
        m2, m1, m0 = model_output_list
        d2 = ((m0 - m1) / (h_0 / h) - (m1 - m2) / (h_1 / h)) / ((h_0 + h_1) / h)
        return x + d2 / (1 + near[-1] ** 2).sqrt()


SDE = {"algorithm_type": "sde-dpmsolver++"}
ON_SIGMA = [
    Pair("euler", EulerDiscreteScheduler),
    Pair("euler_ancestral", EulerAncestralDiscreteScheduler, noise=True),
    Pair("heun", HeunDiscreteScheduler),
    Pair("dpm_2", KDPM2DiscreteScheduler),
    Pair("dpm_2_ancestral", KDPM2AncestralDiscreteScheduler, noise=True),
]
"""These work on x itself. Those below on x scaled to unit variance.

With final sigma zero the last step is of first order in any case; ``lower_order_final`` would lower the one before as
well, below 15 steps only, which no paper does.
"""
WHOLE = {"lower_order_final": False, "final_sigmas_type": "zero"}
THREE = {"solver_order": 3, "solver_type": "heun"}  # the type is that of the second step, which is of second order
ON_UNIT = [
    Pair("dpmpp_2m", MULTISTEP, WHOLE),
    Pair("res_multistep", MULTISTEP, WHOLE | {"solver_type": "heun"}),
    Pair("dpmpp_2m_sde", MULTISTEP, WHOLE | SDE, noise=True),
    Pair("dpmpp_2m_sde", MULTISTEP, WHOLE | SDE | {"solver_type": "heun"}, {"solver": "heun"}, noise=True),
    Pair("dpmpp_3m_sde", ThirdOrderSDE, WHOLE | SDE | THREE, noise=True),
    Pair("dpmpp_3m_sde", MULTISTEP, WHOLE | THREE, {"eta": 0.0}),
    *(
        Pair(
            "uni_pc",
            UniPCMultistepScheduler,
            {"final_sigmas_type": "zero", "solver_order": order},
            {"order": order},
        )
        for order in (1, 2, 3)
    ),
]


SPACED = [
    pytest.param(pair, spacing, id=f"{pair}-{next(iter(spacing))}")
    for pair in ON_SIGMA + ON_UNIT
    for spacing in (LINSPACE, KARRAS)
    if pair.kind is not EulerAncestralDiscreteScheduler or spacing is LINSPACE  # all that diffusers has it on
]


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 25])
@pytest.mark.parametrize(("pair", "spacing"), SPACED)
def test_parity_sampler(pair: Pair, spacing: dict[str, Any], steps: int) -> None:
    scheduler = pair.kind.from_config({**SD, **spacing, **pair.config, "prediction_type": "epsilon"})
    scheduler.set_timesteps(steps)
    sigmas = levels_of(scheduler)
    mine = ours(pair.name, sigmas, **pair.options)
    unit = math.sqrt(1 + sigmas[0] ** 2) if pair in ON_UNIT else 1.0
    more = {"generator": seeded()} if pair.noise else {}
    assert len(mine.asked) == len(scheduler.timesteps)
    close(mine.x, theirs(scheduler, drawn(sigmas[0]) / unit, [a.sigma for a in mine.asked], **more))


DOWN_TO_THE_LAST = [
    pytest.param("deis", DEISMultistepScheduler, {"lower_order_final": False}, {}, id="deis"),  # to the lowest level
    pytest.param(
        "uni_pc", UniPCMultistepScheduler, {"solver_type": "bh1"}, {"variant": "bh1"}, id="bh1"
    ),  # not a number at 0
]


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 25])
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("spacing", [LINSPACE, KARRAS], ids=["linspace", "karras"])
@pytest.mark.parametrize(("name", "kind", "config", "options"), DOWN_TO_THE_LAST)
def test_parity_down_to_the_last_level_above_zero(
    name: str,
    kind: Any,
    config: dict[str, Any],
    options: dict[str, Any],
    spacing: dict[str, Any],
    order: int,
    steps: int,
) -> None:
    """Where diffusers cannot go to 0."""
    scheduler = kind.from_config({**SD, **spacing, **config, "solver_order": order})
    scheduler.set_timesteps(steps)
    scheduler.sigmas = scheduler.sigmas.double()
    sigmas = [*scheduler.sigmas.tolist()[:-1], 0.0]
    asked = ours(name, sigmas, order=order, **options).asked
    reference = theirs(scheduler, drawn(sigmas[0]) / math.sqrt(1 + sigmas[0] ** 2), sigmas[: steps - 1])
    close(asked[-1].x / math.sqrt(1 + sigmas[-2] ** 2), reference)


def at_trained_levels(kind: Any, config: dict[str, Any], steps: int) -> tuple[Any, list[float]]:
    scheduler = kind.from_config({**SD, "clip_sample": False, "timestep_spacing": "leading", **config})
    scheduler.set_timesteps(steps)
    bars = scheduler.alphas_cumprod[scheduler.timesteps].double()
    return scheduler, [*((1 - bars) / bars).sqrt().tolist(), 0.0]


@pytest.mark.parametrize("steps", [1, 4, 10, 25])
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_parity_ddim(eta: float, steps: int) -> None:
    scheduler, sigmas = at_trained_levels(DDIMScheduler, {"steps_offset": 1, "set_alpha_to_one": True}, steps)
    start = drawn(sigmas[0])
    reference = theirs(scheduler, start / math.sqrt(1 + sigmas[0] ** 2), sigmas[:-1], eta=eta, generator=seeded())
    close(ours("ddim", sigmas, eta=eta).x, reference)


@pytest.mark.parametrize("steps", [1, 4, 10, 25])
@pytest.mark.parametrize("variance", ["small", "large"])
def test_parity_ddpm(variance: str, steps: int) -> None:
    scheduler, sigmas = at_trained_levels(DDPMScheduler, {"variance_type": f"fixed_{variance}"}, steps)
    start = drawn(sigmas[0])
    reference = theirs(scheduler, start / math.sqrt(1 + sigmas[0] ** 2), sigmas[:-1], generator=seeded())
    close(ours("ddpm", sigmas, variance=variance).x, reference)


@pytest.mark.parametrize("steps", [1, 4, 8])
def test_parity_lcm(steps: int) -> None:
    """diffusers adds a little of x to the estimate (c_skip, below 1e-5 at these levels): ten times the tolerance."""
    scheduler, sigmas = at_trained_levels(LCMScheduler, {}, steps)
    start = drawn(sigmas[0])
    reference = theirs(scheduler, start / math.sqrt(1 + sigmas[0] ** 2), sigmas[:-1], generator=seeded())
    torch.testing.assert_close(ours("lcm", sigmas).x, reference, atol=10 * ATOL, rtol=0)


@pytest.mark.parametrize("steps", [1, 2, 4, 10])
def test_parity_dpmpp_2s(steps: int) -> None:
    """diffusers counts each of its two calls as a step. Down to the last level above 0."""
    sigmas = spaced(steps + 1)
    asked = ours("dpmpp_2s_ancestral", sigmas, eta=0.0).asked
    scheduler = DPMSolverSinglestepScheduler.from_config({**SD, "solver_order": 2})
    scheduler.set_timesteps(2 * steps + 2)
    levels = [a.sigma for a in asked]
    scheduler.sigmas = torch.tensor([*levels, levels[-1] / 2, 0.0])
    reference = theirs(scheduler, drawn(sigmas[0]) / math.sqrt(1 + sigmas[0] ** 2), levels[:-1])
    close(asked[-1].x / math.sqrt(1 + levels[-1] ** 2), reference)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 20])
def test_parity_ipndm(steps: int) -> None:
    """diffusers' takes the velocity of x scaled to unit variance. Its own levels begin at ∞: it is given ours."""
    sigmas = spaced(steps)
    scheduler = IPNDMScheduler()
    scheduler.set_timesteps(steps)
    level = torch.tensor(sigmas, dtype=torch.float64)
    scheduler.alphas, scheduler.betas = 1 / (1 + level**2).sqrt(), level / (1 + level**2).sqrt()
    x = drawn(sigmas[0]) / math.sqrt(1 + sigmas[0] ** 2)
    for place, timestep in enumerate(scheduler.timesteps):
        alpha, beta = float(scheduler.alphas[place]), float(scheduler.betas[place])
        velocity = (fake_epsilon(x, sigmas[place]) - beta * x) / alpha
        x = scheduler.step(velocity, timestep, x).prev_sample.float()
    close(ours("ipndm", sigmas).x, x)


# --- diffusers has these only where scipy or torchsde is installed; neither does anything here that they are needed for


@pytest.fixture
def lms(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = importlib.import_module("diffusers.schedulers.scheduling_lms_discrete")
    points, weights = np.polynomial.legendre.leggauss(8)  # exact up to degree 15; LMS integrates degree 3

    def quad(f: Callable[[float], float], a: float, b: float, **_: Any) -> tuple[float, float]:
        values = [float(f((a + b) / 2 + (b - a) / 2 * point)) for point in points]
        return float(np.dot(weights, values)) * (b - a) / 2, 0.0

    monkeypatch.setattr(module, "integrate", SimpleNamespace(quad=quad), raising=False)
    return module


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 25])
@pytest.mark.parametrize("spacing", [LINSPACE, KARRAS], ids=["linspace", "karras"])
def test_parity_lms(lms: ModuleType, spacing: dict[str, Any], steps: int) -> None:
    scheduler = lms.LMSDiscreteScheduler.from_config({**SD, **spacing})
    scheduler.set_timesteps(steps)
    sigmas = scheduler.sigmas.tolist()
    close(ours("lms", sigmas).x, theirs(scheduler, drawn(sigmas[0]), sigmas[:-1]))


@pytest.fixture
def sde(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    name = "diffusers.schedulers.scheduling_dpmsolver_sde"
    monkeypatch.setitem(importlib.sys.modules, "torchsde", ModuleType("torchsde"))  # its tree is not used
    yield importlib.import_module(name)
    importlib.sys.modules.pop(name, None)


@pytest.mark.parametrize("steps", [1, 2, 3, 10, 25])
@pytest.mark.parametrize("spacing", [LINSPACE, KARRAS], ids=["linspace", "karras"])
def test_parity_dpmpp_sde(sde: ModuleType, spacing: dict[str, Any], steps: int) -> None:
    """On one Brownian path: with the clock 1/σ², ours passes its increments in the order of the draws."""
    scheduler = sde.DPMSolverSDEScheduler.from_config({**SD, **spacing})
    scheduler.set_timesteps(steps)
    sigmas = sorted(set(scheduler.sigmas.tolist()), reverse=True)
    mine = ours("dpmpp_sde", sigmas)
    levels, generator = [a.sigma for a in mine.asked], seeded()
    path = {levels[0]: torch.zeros(4, 8, 8)}
    for a, b in pairwise(levels):
        path[b] = path[a] + math.sqrt(b**-2 - a**-2) * torch.randn((4, 8, 8), generator=generator)

    def noise(a: Tensor, b: Tensor) -> Tensor:
        a, b = (min(levels, key=lambda level: abs(level - float(each))) for each in (a, b))
        return (path[b] - path[a]) / math.sqrt(b**-2 - a**-2)

    scheduler.noise_sampler = noise
    close(mine.x, theirs(scheduler, drawn(sigmas[0]), levels))


# --- where diffusers has nothing: the paper's own words, in its own coordinates --------------------------------------


@pytest.mark.parametrize("steps", [1, 5, 20])
def test_parity_euler_cfg_pp_with_the_paper(steps: int) -> None:
    """Algorithm 2 of Chung et al. (2024), on x scaled to unit variance, with ᾱ = 1 / (1 + σ²)."""
    sigmas, scale = spaced(steps), 0.6
    sampler = SAMPLERS["euler_cfg_pp"]

    def unconditional(scaled: Tensor, sigma: float) -> Tensor:
        return fake_epsilon(0.7 * scaled.flip(-1), sigma)

    run = sampler.run(drawn(sigmas[0]), sigmas, lambda: pytest.fail("no noise is due"), sampler.Params())
    query, x = next(run), drawn(sigmas[0]) / math.sqrt(1 + sigmas[0] ** 2)
    for sigma, sigma_next in pairwise(sigmas):
        assert query.unconditional
        scaled = query.x / math.sqrt(1 + sigma**2)
        empty, full = unconditional(scaled, sigma), fake_epsilon(scaled, sigma)
        guided = query.x - sigma * (empty + scale * (full - empty))
        try:
            query = run.send(SimpleNamespace(denoised=guided, unconditional=query.x - sigma * empty))
        except StopIteration as stop:
            end = stop.value
        bar, bar_next = 1 / (1 + sigma**2), 1 / (1 + sigma_next**2)
        empty, full = unconditional(x, sigma), fake_epsilon(x, sigma)
        x0 = (x - math.sqrt(1 - bar) * (empty + scale * (full - empty))) / math.sqrt(bar)
        x = math.sqrt(bar_next) * x0 + math.sqrt(1 - bar_next) * empty
    close(end, x)
