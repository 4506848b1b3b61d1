"""Beta: training steps at the quantiles of a beta distribution, more of them at both ends."""

from __future__ import annotations

import math

from pydantic import Field

import calotype


class BetaParams(calotype.Params):
    """What can be set for ``beta``."""

    alpha: float = Field(
        default=0.6, ge=0.3, le=5.0, description="Lower: more steps at low noise, where detail is made"
    )
    beta: float = Field(default=0.6, ge=0.3, le=5.0, description="Lower: more steps at high noise, where the layout is")


class Beta(calotype.Schedule):
    """Lee et al. (2024), "Beta Sampling is All You Need": t_i = T·F⁻¹(1 − i/steps), F of Beta(α, β), then 0.

    ComfyUI's "beta" but for its rounding to whole training steps. diffusers takes the quantiles of σ instead of t.
    """

    name = "beta"
    label = "Beta"
    Params = BetaParams

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        assert isinstance(params, BetaParams)
        t_max = levels.t(levels.sigma_max)
        inner = [levels.sigma(t_max * quantile(1 - i / steps, params.alpha, params.beta)) for i in range(1, steps)]
        # The first is given, not computed: x was drawn at exactly this level.
        return [levels.sigma_max, *inner, 0.0]


def quantile(p: float, a: float, b: float) -> float:
    """Where Beta(a, b) has the share p below it: Newton's method, kept between bounds by bisection."""
    low, high, x = 0.0, 1.0, 0.5
    for _ in range(60):
        surplus = _below(x, a, b) - p
        low, high = (x, high) if surplus < 0 else (low, x)
        better = x - surplus * x * (1 - x) / _power(x, a, b)  # the density is _power / (x (1 - x))
        before, x = x, better if low < better < high else (low + high) / 2
        if abs(x - before) < 1e-14:
            break
    return x


def _power(x: float, a: float, b: float) -> float:
    """x^a (1 - x)^b / B(a, b)."""
    log = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    return math.exp(log + a * math.log(x) + b * math.log1p(-x))


def _below(x: float, a: float, b: float) -> float:
    """Share of Beta(a, b) below x, by a continued fraction (Press et al. 2007, "Numerical Recipes", section 6.4)."""
    if x > (a + 1) / (a + b + 2):  # where it converges slowly
        return 1 - _below(1 - x, b, a)
    fraction = 1.0
    for m in range(25, 0, -1):  # from the inside out
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        fraction = 1 + even / (1 + odd / fraction)
    return _power(x, a, b) / a / (1 - (a + b) * x / (a + 1) / fraction)


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``beta``."""
    return [Beta()]
