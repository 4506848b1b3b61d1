"""Bad input names its field and its limit; good input survives every road."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype.errors import BadRequest, Problem
from calotype.request import PROMPT_LIMIT, SEED_LIMIT, Request


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({}, "prompt", "is missing"),
        ({"prompt": ""}, "prompt", "is empty"),
        ({"prompt": "  \n "}, "prompt", "is empty"),
        ({"prompt": "x" * 10_000}, "prompt", f"has 10000 characters; at most {PROMPT_LIMIT}"),
        ({"prompt": "a\x00\x01b"}, "prompt", "control characters"),
        ({"prompt": 5}, "prompt", "is not text"),
        ({"steps": 0}, "steps", "0 is too small; at least 1"),
        ({"steps": 10**6}, "steps", "1000000 is too large; at most 150"),
        ({"steps": 2.5}, "steps", "is not a whole number"),
        ({"steps": True}, "steps", "is not a whole number"),
        ({"guidance": float("nan")}, "guidance", "nan is not a number"),
        ({"guidance": float("inf")}, "guidance", "inf is not a number"),
        ({"guidance": 0.5}, "guidance", "0.5 is too small; at least 1"),
        ({"width": 100}, "width", "100 is not a multiple of 8; use 96 or 104"),
        ({"height": 10**5}, "height", "100000 is too large; at most 2048"),
        ({"seed": -1}, "seed", "-1 is too small; at least 0"),
        ({"seed": 2**53}, "seed", f"too large; at most {SEED_LIMIT}"),
        ({"images": 9}, "images", "9 is too large; at most 8"),
        ({"options": []}, "options", "is not an object"),
        ({"options": {"grain": 3}}, "options.grain", "takes parameters"),
        ({"options": {"grain": {"strength": float("inf")}}}, "options.grain.strength", "inf is not a number"),
        ({"prompt": "a\ud800b"}, "prompt", "not text"),
        ({"strength": 0.5}, "strength", "there is none"),
        ({"init_image": "ab" * 32, "strength": 0.0}, "strength", "0.0 is too small; it must be above 0"),
        ({"init_image": "ab" * 32, "strength": 1.01}, "strength", "1.01 is too large; at most 1"),
        ({"init_image": "ab" * 32, "strength": float("nan")}, "strength", "nan is not a number"),
        ({"init_image": "AB" * 32}, "init_image", "64 digits"),
        ({"init_image": "../" * 32, "strength": 0.5}, "init_image", "64 digits"),
        ({"init_image": "ab" * 32 + "\n"}, "init_image", "64 digits"),
        ({"mask": "ab" * 32}, "mask", "says which part of init_image to change, and there is none"),
        ({"init_image": "ab" * 32, "mask": "white"}, "mask", "64 digits"),
        ({"stpes": 3}, "stpes", "not a field that is known"),
    ],
)
def test_bad_input_names_field_and_limit(fields: dict[str, Any], field: str, words: str) -> None:
    data = {"prompt": "cat", **fields} if "prompt" not in fields and fields else fields
    with pytest.raises(BadRequest) as caught:
        Request.parse(data)
    assert [p.field for p in caught.value.problems] == [field]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(BadRequest) as caught:
        Request.parse({"prompt": "", "steps": 0, "seed": -1})
    assert {p.field for p in caught.value.problems} == {"prompt", "steps", "seed"}


requests = st.builds(
    Request,
    prompt=st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cc", "Zs"]), min_size=1, max_size=60),
    steps=st.none() | st.integers(1, 150),
    guidance=st.none() | st.floats(1, 30),
    seed=st.none() | st.integers(0, SEED_LIMIT),
    width=st.none() | st.integers(1, 256).map(lambda n: n * 8),
    images=st.integers(1, 8),
    options=st.dictionaries(st.sampled_from(["a", "b"]), st.booleans() | st.just({"x": 1.5})),
)


@given(requests)
def test_json_round_trip(request: Request) -> None:
    assert Request.parse(json.loads(request.model_dump_json())) == request


@given(
    st.dictionaries(
        st.sampled_from([*Request.model_fields, "other"]), st.none() | st.integers() | st.text() | st.floats()
    )
)
def test_anything_is_a_request_or_a_bad_request(fields: dict[str, Any]) -> None:
    found: Sequence[Problem] = ()
    try:
        Request.parse(fields)
    except BadRequest as error:
        found = error.problems
    else:
        return
    assert found
    assert all(problem.message and "\n" not in problem.message for problem in found)


@given(st.integers(1, 150), st.floats(0, 1, exclude_min=True))
def test_a_stronger_change_takes_no_fewer_steps(steps: int, strength: float) -> None:
    start = Request(prompt="x", steps=steps, init_image="ab" * 32, strength=strength)
    done = start.steps_done
    assert 1 <= done <= steps
    assert done <= start.model_copy(update={"strength": min(1.0, strength * 1.5)}).steps_done
    assert abs(done - steps * strength) <= max(0.5, 1 - steps * strength)
    assert start.model_copy(update={"strength": 1.0}).steps_done == steps
    assert Request(prompt="x", steps=steps).steps_done == steps


def test_a_row_from_before_there_were_pictures_to_start_from_is_the_same_request() -> None:
    now = Request(prompt="cat", seed=3, steps=4)
    before = {name: value for name, value in now.model_dump().items() if name not in ("init_image", "strength", "mask")}
    assert Request.model_validate(before) == now


def test_seeds_wrap_at_the_limit() -> None:
    assert Request(prompt="x", seed=SEED_LIMIT, images=3).seeds() == [SEED_LIMIT, 0, 1]
