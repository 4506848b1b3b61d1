"""Linear-quadratic: tiny equal steps at first, then ever longer ones."""

from __future__ import annotations

from pydantic import Field

import calotype


class LinearQuadraticParams(calotype.Params):
    """What can be set for ``linear_quadratic``."""

    threshold: float = Field(
        default=0.025, ge=0.001, le=0.3, description="Share of the way that the first half of the steps goes"
    )


class LinearQuadratic(calotype.Schedule):
    """Polyak et al. (2024), "Movie Gen: A Cast of Media Foundation Models", linear-quadratic t-schedule; as in Mochi.

    In the time of flow models, t = σ/(1 + σ), from t(σ_max) to 0. ComfyUI applies the formula to σ itself, which is the
    same for flow models (their σ is t), and hardly usable for others.
    """

    name = "linear_quadratic"
    label = "Linear-quadratic"
    Params = LinearQuadraticParams

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        assert isinstance(params, LinearQuadraticParams)
        t_max, t_min = (sigma / (1 + sigma) for sigma in (levels.sigma_max, levels.sigma_min))
        left = [1 - _gone(i, steps, params.threshold) for i in range(1, steps)]
        # with very many steps the last ones would lie below what the model was trained on: then the way is to t_min
        floor = t_min if left and t_max * left[-1] < t_min else 0.0
        inner = [floor + (t_max - floor) * each for each in left]
        # The first is given, not computed: x was drawn at exactly this level.
        return [levels.sigma_max, *(t / (1 - t) for t in inner), 0.0]


def _gone(i: int, steps: int, threshold: float) -> float:
    """Share of the way behind step i: a line to the threshold, then the parabola that goes on smoothly to 1."""
    straight = steps // 2
    if i <= straight:
        return threshold * i / straight
    slope, rest = threshold / straight, steps - straight
    bend = (1 - threshold - slope * rest) / rest**2
    return threshold + slope * (i - straight) + bend * (i - straight) ** 2


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``linear_quadratic``."""
    return [LinearQuadratic()]
