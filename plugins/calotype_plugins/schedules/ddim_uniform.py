"""DDIM uniform: every so-many-th of the model's own noise levels, counted from the cleanest."""

from __future__ import annotations

import calotype


class DDIMUniform(calotype.Schedule):
    """The levels of training steps 1 + i·⌊T/steps⌋, then 0; the highest is always the model's.

    Song et al. (2021), "Denoising Diffusion Implicit Models", appendix D.2 ("linear"); "leading" in Table 2 of Lin et
    al. (2024), "Common Diffusion Noise Schedules and Sample Steps are Flawed". The flaw is that it does not begin at
    the highest level: here it does, which ComfyUI's and diffusers' do not.
    """

    name = "ddim_uniform"
    label = "DDIM uniform"
    aliases = ("leading",)

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        stride: float = levels.steps // steps
        if stride < 1 or 1 + (steps - 2) * stride >= levels.steps - 1:  # more steps than there are levels
            stride = (levels.steps - 2) / steps
        inner = [levels.sigma(1 + i * stride) for i in range(steps - 2, -1, -1)]
        return [levels.sigma_max, *inner, 0.0]


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``ddim_uniform``."""
    return [DDIMUniform()]
