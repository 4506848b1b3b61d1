"""Controls from parameter models: which component, its limits, and what comes back from it."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Any, Literal

import gradio as gr
import pytest
from pydantic import Field

from calotype.plugins.registry import Registry
from calotype.sampling import NoParams, Params
from calotype_gradio.controls import Control, controls, given


class Tone(Enum):
    WARM_BLACK = "warm"
    BLUE = "blue"


class Everything(Params):
    rho: float = Field(default=7.0, ge=1.0, le=20.0, description="how steep")
    share: float = Field(default=0.5, gt=0.0, lt=1.0)
    churn: float = Field(default=0.0, ge=0.0)
    count: int = Field(default=3, ge=1, le=8)
    eighths: int = Field(default=64, ge=8, le=128, multiple_of=8)
    factor: Literal[2, 4] = 4
    tone: Tone = Tone.BLUE
    noisy_end: bool = Field(default=False, title="Noise at the end")
    word: str = "x"
    maybe: Annotated[int, Field(ge=0, le=5)] | None = None
    curve: tuple[float, ...] = (1.0, 2.0)


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    with gr.Blocks(analytics_enabled=False):
        return {control.field: control.component for control in controls(Everything)}


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("rho", gr.Slider), ("share", gr.Slider), ("churn", gr.Number), ("count", gr.Slider), ("eighths", gr.Slider),
        ("factor", gr.Dropdown), ("tone", gr.Dropdown), ("noisy_end", gr.Checkbox), ("word", gr.Textbox),
    ],
)  # fmt: skip
def test_each_kind_of_parameter_has_its_component(made: dict[str, Any], field: str, kind: type) -> None:
    assert type(made[field]) is kind


def test_limits_become_the_ends_of_a_slider(made: dict[str, Any]) -> None:
    def ends(field: str) -> tuple[float, float, float]:
        return made[field].minimum, made[field].maximum, made[field].step

    assert ends("rho") == (1.0, 20.0, 0.1)
    assert ends("count") == (1, 8, 1)
    assert ends("eighths") == (8, 128, 8)
    assert ends("share") == pytest.approx((0.01, 0.99, 0.01))  # open ends are not offered


def test_one_limit_alone_is_a_number_field(made: dict[str, Any]) -> None:
    assert (made["churn"].minimum, made["churn"].maximum) == (0.0, None)


def test_choices_keep_their_type(made: dict[str, Any]) -> None:
    assert made["factor"].choices == [("2", 2), ("4", 4)]
    assert made["tone"].choices == [("Warm black", "warm"), ("Blue", "blue")]
    assert made["tone"].value == "blue"


def test_words_come_from_the_model(made: dict[str, Any]) -> None:
    assert (made["rho"].label, made["rho"].info) == ("Rho", "how steep")
    assert made["noisy_end"].label == "Noise at the end"
    assert made["rho"].value == 7.0


def test_what_no_control_can_set_keeps_its_default(made: dict[str, Any]) -> None:
    assert "curve" not in made


def test_a_plugin_without_parameters_has_no_controls() -> None:
    with gr.Blocks(analytics_enabled=False):
        assert controls(NoParams) == []


def test_values_come_back_as_the_model_takes_them(made: dict[str, Any]) -> None:
    shown = [Control(field, component) for field, component in made.items()]
    values = {component: component.value for component in made.values()} | {made["rho"]: 3, made["tone"]: "warm"}
    parsed = Everything.model_validate(given(shown, values))
    assert parsed == Everything(rho=3.0, tone=Tone.WARM_BLACK)


def test_an_emptied_control_is_left_out(made: dict[str, Any]) -> None:
    assert given([Control("rho", made["rho"])], {made["rho"]: None}) == {}


def test_every_bundled_parameter_has_a_control_and_its_default_comes_back(registry: Registry) -> None:
    everything: dict[str, Any] = {**registry.samplers, **registry.schedules, **registry.postprocessors}
    for name, plugin in everything.items():
        with gr.Blocks(analytics_enabled=False):
            made = controls(plugin.Params)
        assert {control.field for control in made} == set(plugin.Params.model_fields), name
        values = {control.component: control.component.value for control in made}
        assert plugin.Params.model_validate(given(made, values)) == plugin.Params(), name
