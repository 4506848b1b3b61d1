"""For authors of plugins: checks of what a plugin adds, and of its reviews, against its contract, without a model.

    from calotype.plugins.testing import assert_all, check_sampler
    assert_all(check_sampler(MySampler()))

``calotype plugins check NAME`` runs the same checks. torch is imported only when a sampler is driven.
"""

from calotype.plugins.testing.check import Check, assert_all
from calotype.plugins.testing.driving import (
    MU,
    Asked,
    Drive,
    S,
    consistent,
    drawn,
    drive,
    exact,
    gaussian,
    spaced,
    tail,
)
from calotype.plugins.testing.modules import check_import
from calotype.plugins.testing.postprocessors import check_postprocessor, picture
from calotype.plugins.testing.reviews import check_reviews
from calotype.plugins.testing.samplers import check_sampler, order_of_convergence
from calotype.plugins.testing.schedules import check_schedule, stable_diffusion_levels

__all__ = [
    "MU",
    "Asked",
    "Check",
    "Drive",
    "S",
    "assert_all",
    "check_import",
    "check_postprocessor",
    "check_reviews",
    "check_sampler",
    "check_schedule",
    "consistent",
    "drawn",
    "drive",
    "exact",
    "gaussian",
    "order_of_convergence",
    "picture",
    "spaced",
    "stable_diffusion_levels",
    "tail",
]
