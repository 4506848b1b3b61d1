"""What is shown: escaped, and true."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from calotype.catalog import Catalog
from calotype.checkpoint import inspect
from calotype.job import Job, JobStatus, Picture
from calotype.request import Request
from calotype_gradio import views

WICKED = "<img src=x onerror=alert(1)>\"'"


@pytest.fixture
def job(catalog: Catalog) -> Job:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    request = catalog.resolve(Request(prompt=WICKED, negative_prompt="<b>", seed=2**53 - 1, images=2))
    pictures = tuple(
        Picture(k, seed, "0" * 63 + str(k), 256, 256, (f"note {WICKED}",)) for k, seed in enumerate(request.seeds())
    )
    later = now + timedelta(seconds=2), now + timedelta(seconds=5)
    return Job("j1", "web:x", request, JobStatus.FINISHED, now, *later, pictures=pictures)


def test_what_is_noted_of_all_pictures_is_said_once(job: Job) -> None:
    first, second = job.pictures
    both = replace(job, pictures=(replace(first, notes=("of all", "of one")), replace(second, notes=("of all",))))
    shown = views.pictures(both)
    assert shown.count("of all") == 1
    assert shown.index("of one") < shown.rindex("<figure>") < shown.index("of all")
    assert views.pictures(replace(job, pictures=(replace(first, notes=("of all",)),))).count("of all") == 1


def test_words_of_others_are_escaped(job: Job, catalog: Catalog) -> None:
    for shown in (
        views.pictures(job), views.used(job, catalog), views.earlier([job]), views.status(WICKED), views.notice(WICKED),
        views.problems([(WICKED, WICKED)]),
    ):  # fmt: skip
        assert "<img src=x" not in shown
        assert "<b>" not in shown
    assert "note &lt;img" in views.pictures(job)


def test_each_picture_has_its_own_seed_and_file(job: Job) -> None:
    shown = views.pictures(job)
    assert "calotype-9007199254740991.png" in shown
    assert "calotype-0.png" in shown  # the next seed begins again
    assert 'href="page/pictures/' in shown  # relative, so that the page may lie under a prefix


def test_only_a_small_picture_is_enlarged_by_its_pixels(job: Job) -> None:
    large = replace(job, pictures=tuple(replace(each, width=512, height=512) for each in job.pictures))
    assert "ct-crisp" in views.pictures(job)
    assert "ct-crisp" not in views.pictures(large)


def test_what_was_used_and_how_long(job: Job, catalog: Catalog) -> None:
    shown = views.used(job, catalog)
    for part in (
        "Euler ancestral (eta 1.0)",
        "20 steps",
        "guidance 2",
        "256 × 256",
        "factor 4",
        "seed 9007199254740991",
        "took 3.0 s",
        "waited 2.0 s",
    ):
        assert part in shown, part
    quick = replace(job, started=job.created + timedelta(seconds=0.1))
    assert "waited" not in views.used(quick, catalog)


def test_a_variation_tells_the_steps_that_were_done(job: Job, catalog: Catalog) -> None:
    varied = replace(job, request=job.request.model_copy(update={"init_image": "ab" * 32, "strength": 0.6}))
    assert "from a picture, 12 of 20 steps (strength 0.6)" in views.used(varied, catalog)


def test_earlier_pictures_are_those_of_other_finished_jobs(job: Job) -> None:
    assert views.earlier([job], shown="j1") == ""
    assert views.earlier([replace(job, status=JobStatus.CANCELLED)]) == ""
    assert views.earlier([job]).count("<figure>") == 2


def test_positions_are_words() -> None:
    assert [views.position(k) for k in (0, 1, 2)] == ["Yours is next.", "1 job before yours.", "2 jobs before yours."]


def test_a_long_complaint_is_cut() -> None:
    assert len(views.problems([("Steps", "1" * 4000)])) < 600


def test_the_hint_is_the_embedded_models(catalog: Catalog, tiny_sd1: Path) -> None:
    assert "emoji" in views.hint(catalog.models[catalog.default_model])
    assert views.hint(inspect(tiny_sd1)) == ""
