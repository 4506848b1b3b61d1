"""The contract first, by Calotype's own checks; then what this plugin promises beyond it."""

from __future__ import annotations

import pytest
from calotype_example import Ralston, RalstonParams, SaltPrint, SaltPrintParams

from calotype import PictureInfo
from calotype.plugins.testing import (
    assert_all,
    check_import,
    check_postprocessor,
    check_sampler,
    drawn,
    drive,
    order_of_convergence,
    picture,
    spaced,
)


def test_keeps_the_contract() -> None:
    """What ``calotype plugins check calotype_example`` says."""
    assert_all([*check_import("calotype_example"), *check_sampler(Ralston()), *check_postprocessor(SaltPrint())])


def test_is_of_second_order() -> None:
    """On data whose solution is known."""
    assert order_of_convergence(Ralston()) == pytest.approx(2, abs=0.15)


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_alpha_matters_little_in_small_steps(alpha: float) -> None:
    """All members of the family solve the same equation."""
    start, sigmas = drawn(15.0), spaced(100)
    one = drive(Ralston(), start, sigmas).x
    other = drive(Ralston(), start, sigmas, params=RalstonParams(alpha=alpha)).x
    assert (one - other).abs().max() < 0.01


def test_no_strength_changes_nothing() -> None:
    """And full strength leaves brown."""
    image, info = picture(32, 32), PictureInfo(seed=7, prompt="a lighthouse")
    assert SaltPrint().process(image, info, SaltPrintParams(strength=0)).tobytes() == image.tobytes()
    red, _, blue = SaltPrint().process(image, info, SaltPrintParams()).resize((1, 1)).getpixel((0, 0))
    assert red > blue
