"""Normal: the noise levels of training steps spaced equally."""

from __future__ import annotations

import calotype


class Normal(calotype.Schedule):
    """Training steps equally spaced from the noisiest to the cleanest, then 0.

    "Linspace" in Table 2 of Lin et al. (2024), "Common Diffusion Noise Schedules and Sample Steps are Flawed";
    k-diffusion's ``get_sigmas`` and ComfyUI's "normal".
    """

    name = "normal"
    label = "Normal"
    aliases = ("linspace",)

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        t_max, t_min = levels.t(levels.sigma_max), levels.t(levels.sigma_min)
        inner = [levels.sigma(t_max + i / (steps - 1) * (t_min - t_max)) for i in range(1, steps)]
        # The first is given, not computed: x was drawn at exactly this level.
        return [levels.sigma_max, *inner, 0.0]


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``normal``."""
    return [Normal()]
