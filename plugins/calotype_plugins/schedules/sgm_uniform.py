"""SGM uniform: training steps spaced equally, as if the last noise level were one of the steps to 0."""

from __future__ import annotations

import calotype


class SGMUniform(calotype.Schedule):
    """Training steps t_max·(1 − i/steps), then 0: "normal" with one more step, whose last level is left out.

    The spacing of Stability AI's generative-models, ComfyUI's "sgm_uniform". Few-step distilled models were trained at
    such levels.
    """

    name = "sgm_uniform"
    label = "SGM uniform"

    def sigmas(self, steps: int, levels: calotype.NoiseLevels, params: calotype.Params) -> calotype.Sigmas:
        """``steps + 1`` noise levels."""
        t_max, t_min = levels.t(levels.sigma_max), levels.t(levels.sigma_min)
        inner = [levels.sigma(t_max + i / steps * (t_min - t_max)) for i in range(1, steps)]
        # The first is given, not computed: x was drawn at exactly this level.
        return [levels.sigma_max, *inner, 0.0]


@calotype.hookimpl
def calotype_schedules() -> list[calotype.Schedule]:
    """Add the schedule ``sgm_uniform``."""
    return [SGMUniform()]
