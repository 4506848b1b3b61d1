"""Checks of a plugin's reviews of prompts and pictures."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import TYPE_CHECKING, Final

from calotype.person import Person
from calotype.plugins.registry import reviewer_of
from calotype.plugins.testing.check import Check, Fault, outcome
from calotype.plugins.testing.postprocessors import SIZES, SLOW, picture
from calotype.request import Request
from calotype.review import Refusal, ReviewInfo, verdict

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPTS: Final = ("a lighthouse", "(猫:1.2), \u201cquoted\u201d 🦊", "word " * 399 + "end")
_WHO: Final = Person("test:anna", "Anna")
_INFOS: Final = (ReviewInfo(_WHO.key, PROMPTS[0], "a job"), ReviewInfo(_WHO.key, None))
"""Of a picture that was made, and of one that was brought."""


def check_reviews(module: ModuleType) -> list[Check]:
    """Everything the contract asks of ``calotype_review_prompt`` and ``calotype_review_picture``, those it has."""
    reviewer = reviewer_of(module.__name__, module)
    measures: dict[str, Callable[[], str]] = {}
    if reviewer.prompt is not None:
        measures["review of prompts"] = partial(_prompts, reviewer.prompt)
    if reviewer.picture is not None:
        measures["review of pictures"] = partial(_pictures, reviewer.picture)
        measures["time of a picture"] = partial(_time, reviewer.picture)
    if not measures:
        raise ValueError(f"{module.__name__} reviews nothing: it has neither hook")
    return [outcome(name, measure) for name, measure in measures.items()]


def _prompts(look: Callable[[Request, Person], object]) -> str:
    answers = [_verdict(look(Request(prompt=prompt, seed=7), _WHO)) for prompt in PROMPTS]
    return _told(answers, "prompts")


def _pictures(look: Callable[[Image, ReviewInfo], object]) -> str:
    answers = []
    for width, height in SIZES:
        for info in _INFOS:
            image, untouched = picture(width, height), picture(width, height)
            answers.append(_verdict(look(image, info)))
            if image.mode != "RGB" or image.size != untouched.size or image.tobytes() != untouched.tobytes():
                raise Fault("it changes the picture it is given; work on image.copy()")
    return _told(answers, "pictures")


def _time(look: Callable[[Image, ReviewInfo], object]) -> str:
    begun = time.perf_counter()
    _verdict(look(picture(256, 256), _INFOS[0]))
    seconds = time.perf_counter() - begun
    warning = f"; warning: above {SLOW:g} s, and somebody waits for the picture" if seconds > SLOW else ""
    return f"{seconds:.2f} s for 256x256{warning}"


def _verdict(answer: object) -> Refusal | None:
    try:
        return verdict(answer)
    except TypeError as error:
        raise Fault(str(error)) from None


def _told(answers: list[Refusal | None], what: str) -> str:
    passed = sum(answer is None for answer in answers)
    warning = "" if passed else "; warning: it lets nothing pass"
    return f"{passed} of {len(answers)} harmless {what} pass{warning}"
