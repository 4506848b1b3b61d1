"""Simple: every so-many-th of the model's own noise levels, counted from the noisiest."""

from __future__ import annotations

import calotype


class Simple(calotype.Schedule):
    """The levels of training steps T − 1 − ⌊i·T/steps⌋, then 0.

    ComfyUI's "simple"; "trailing" in Table 2 of Lin et al. (2024), "Common Diffusion Noise Schedules and Sample Steps
    are Flawed", which rounds to the nearest: the same where T is divisible by the number of steps. Only levels that the
    model was trained on, so far as there are enough of them.
    """

    name = "simple"
    label = "Simple"
    aliases = ("trailing",)

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        last, enough = levels.steps - 1, levels.steps >= steps  # if not, levels between them as well
        gone = [i * levels.steps // steps if enough else i * last / steps for i in range(1, steps)]
        inner = [levels.sigma(last - each) for each in gone]
        # The first is given, not computed: x was drawn at exactly this level.
        return [levels.sigma_max, *inner, 0.0]


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``simple``."""
    return [Simple()]
