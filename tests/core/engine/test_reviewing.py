"""Reviews of finished pictures beside the engine: what is refused leaves nothing, what fails is skipped or refuses."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from calotype import PictureInfo, PostProcessor
from calotype.catalog import Catalog
from calotype.checkpoint import EMBEDDED, inspect
from calotype.engine.assignment import Assignment, Rendered
from calotype.plugins.registry import Registry
from calotype.review import Refusal, Reviewer, ReviewInfo, Reviews
from calotype.sampling import NoParams

SECONDS = 1.0


@pytest.fixture(scope="module")
def quick(bench: Any, registry: Registry) -> Iterator[Any]:
    quick = type(bench)(Catalog(registry, [inspect(EMBEDDED)]), slots=4, postprocess_seconds=SECONDS)
    quick.alone(seed=9, steps=1)
    yield quick
    quick.host.close(timeout=0.5)


def spin(image: Image.Image, info: ReviewInfo) -> None:
    while True:
        pass


def sleep(image: Image.Image, info: ReviewInfo) -> None:
    time.sleep(3600)


def rude(image: Image.Image, info: ReviewInfo) -> None:
    raise SystemExit("no")


def chatty(image: Image.Image, info: ReviewInfo) -> str:
    return "fine"


def assigned(quick: Any, *looks: Callable[..., Any], closed: bool = False, **fields: Any) -> Assignment:
    reviewers = tuple(Reviewer(f"plugin_{place}", picture=look) for place, look in enumerate(looks))
    assignment = quick.assignment("culprit", **{"seed": 5, "steps": 2, **fields})
    return replace(assignment, reviews=Reviews(reviewers, closed))


def made(quick: Any, assignment: Assignment) -> list[Rendered]:
    quick.host.join(assignment)
    quick.wait(lambda: assignment.job_id in quick.rendered_by)
    return list(quick.rendered_by[assignment.job_id])


def test_it_sees_what_its_person_would_see(quick: Any) -> None:
    seen: list[tuple[Image.Image, ReviewInfo]] = []

    class Inverted(PostProcessor):
        name, label, order = "inverted", "Inverted", 99

        def process(self, image: Image.Image, info: PictureInfo, params: Any) -> Image.Image:
            return image.point(lambda value: 255 - value)

    assignment = assigned(quick, lambda image, info: seen.append((image, info)))
    assignment = replace(assignment, postprocess=[*assignment.postprocess, (Inverted(), NoParams())])
    (picture,) = made(quick, assignment)
    ((image, info),) = seen
    assert info == ReviewInfo("culprit", "blue cat", assignment.job_id)
    assert image.size == (picture.width, picture.height) == (256, 256), "after the upscaler"
    plain = made(quick, replace(assignment, job_id="x", reviews=Reviews(), postprocess=assignment.postprocess[:1]))
    assert plain[0].png != picture.png
    assert (picture.notes, picture.refusal) == ((), None)
    assert "review" in picture.seconds and "review" not in plain[0].seconds
    assert "review_s" in quick.records[assignment.job_id]["timings"]


def test_a_review_cannot_change_the_picture(quick: Any) -> None:
    def paint(image: Image.Image, info: ReviewInfo) -> None:
        image.paste("black", (0, 0, *image.size))

    (picture,) = made(quick, assigned(quick, paint))
    assert [picture.png] == quick.alone(seed=5, steps=2)


def test_of_a_refused_picture_nothing_is_left(quick: Any) -> None:
    no = Refusal("shows a duck", "0.9")
    asked: list[int] = []

    def second(image: Image.Image, info: ReviewInfo) -> Refusal | None:
        asked.append(1)
        return no if len(asked) == 2 else None

    pictures = made(quick, assigned(quick, second, rude, images=3))
    assert [picture.refusal for picture in pictures] == [None, no, None]
    assert [bool(picture.png) for picture in pictures] == [True, False, True]
    assert pictures[1].refused_by == "plugin_0"
    plain = quick.alone(seed=5, steps=2, images=3)
    assert [pictures[0].png, pictures[2].png] == [plain[0], plain[2]]


@pytest.mark.parametrize("look", [rude, chatty])
def test_one_that_fails(quick: Any, look: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    open_, closed = assigned(quick, look), assigned(quick, look, closed=True)
    with caplog.at_level(logging.ERROR):
        (passed,) = made(quick, open_)
        (refused,) = made(quick, closed)
    assert passed.png and passed.refusal is None
    assert passed.notes == ("the review by plugin_0 was skipped: it failed",)
    assert (refused.png, refused.notes) == (b"", ())
    assert refused.refusal == Refusal("could not be reviewed; try again later", "it failed; see the log")
    for job in (open_, closed):
        (told,) = [r.getMessage() for r in caplog.records if job.job_id in r.getMessage()]
        assert "plugin_0" in told and "Traceback" in told


@pytest.mark.parametrize("look", [spin, sleep])
@pytest.mark.parametrize("closed", [False, True])
def test_one_that_hangs(
    quick: Any, bench: Any, look: Callable[..., Any], closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    plain = bench.alone(seed=5, steps=2, images=2)
    culprit = assigned(quick, look, lambda image, info: None, closed=closed, images=2)
    with caplog.at_level(logging.ERROR):
        quick.host.join(culprit)
        neighbour = quick.join("neighbour", seed=5, steps=2, images=2)
        assert quick.pngs(neighbour) == plain
        quick.wait(lambda: culprit.job_id in quick.rendered_by)
    pictures = quick.rendered_by[culprit.job_id]
    hung = [r.getMessage() for r in caplog.records if "hangs, for over" in r.getMessage()]
    assert len(hung) == 1, "further pictures of the job do without it"
    assert culprit.job_id in hung[0] and "review by plugin plugin_0" in hung[0]
    if closed:
        assert [(p.png, str(p.refusal and p.refusal.message)) for p in pictures] == [
            (b"", "could not be reviewed; try again later")
        ] * 2
    else:
        assert [picture.png for picture in pictures] == plain
        note = "the review by plugin_0 was skipped: it did not come back within 1 s"
        assert {picture.notes for picture in pictures} == {(note,)}
    assert quick.failures == {}
