"""Karras: more of the steps at low noise, where detail is made."""

from __future__ import annotations

from pydantic import Field

import calotype


class KarrasParams(calotype.Params):
    """What can be set for ``karras``."""

    rho: float = Field(
        default=7.0, ge=1.0, le=20.0, description="How strongly steps gather at low noise: 1 is not at all"
    )


class Karras(calotype.Schedule):
    """Noise levels equally spaced in σ^(1/ρ), then 0.

    Karras et al. (2022), "Elucidating the Design Space of Diffusion-Based Generative Models", eq. 5.
    """

    name = "karras"
    label = "Karras"
    aliases = ("use_karras_sigmas",)
    Params = KarrasParams

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        assert isinstance(params, KarrasParams)
        rho = params.rho
        root_max, root_min = levels.sigma_max ** (1 / rho), levels.sigma_min ** (1 / rho)
        inner = [(root_max + i / (steps - 1) * (root_min - root_max)) ** rho for i in range(1, steps)]
        # The first is given, not computed: x was drawn at exactly this level, and the root and power would round it.
        return [levels.sigma_max, *inner, 0.0]


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``karras``."""
    return [Karras()]
