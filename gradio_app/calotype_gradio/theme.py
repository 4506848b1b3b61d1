"""The look: salted paper and iron ink, as a calotype has them. Only fonts that are on the visitor's machine."""

from __future__ import annotations

from typing import Any, Final

import gradio as gr

HEAD: Final = '<meta name="color-scheme" content="light dark">'

_SANS: Final = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
_MONO: Final = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

_SEPIA: Final = (
    "#fbf3e6", "#f5e4cb", "#eacda3", "#dcb077", "#cb9150", "#b07536", "#8f5a26", "#71451d", "#573517", "#402712",
    "#2a190b",
)  # fmt: skip
_PAPER: Final = (
    "#fdfaf4", "#f7f0e4", "#ebe0cd", "#d8c8ae", "#b39f83", "#8b7860", "#6d5c48", "#52453a", "#352c25", "#231c17",
    "#17120e",
)  # fmt: skip


def _hue(name: str, shades: tuple[str, ...]) -> Any:
    steps = ("c50", "c100", "c200", "c300", "c400", "c500", "c600", "c700", "c800", "c900", "c950")
    return gr.themes.Color(name=name, **dict(zip(steps, shades, strict=True)))


def calotype() -> Any:
    """The theme, light and dark."""
    base = gr.themes.Base(
        primary_hue=_hue("sepia", _SEPIA),
        secondary_hue=_hue("sepia", _SEPIA),
        neutral_hue=_hue("paper", _PAPER),
        radius_size=gr.themes.sizes.radius_sm,
        text_size=gr.themes.sizes.text_md,
        font=[gr.themes.Font(name) for name in _SANS],
        font_mono=[gr.themes.Font(name) for name in _MONO],
    )
    return base.set(**_surfaces(), **_buttons(), **_fields())


def _surfaces() -> dict[str, str]:
    return {
        "body_background_fill": "*neutral_100",
        "body_background_fill_dark": "*neutral_950",
        "body_text_color": "*neutral_900",
        "body_text_color_dark": "*neutral_100",
        "body_text_color_subdued": "*neutral_600",
        "body_text_color_subdued_dark": "*neutral_400",
        "background_fill_primary": "*neutral_50",
        "background_fill_primary_dark": "*neutral_900",
        "background_fill_secondary": "*neutral_100",
        "background_fill_secondary_dark": "*neutral_950",
        "border_color_primary": "*neutral_300",
        "border_color_primary_dark": "*neutral_700",
        "border_color_accent": "*primary_500",
        "block_background_fill": "transparent",
        "block_background_fill_dark": "transparent",
        "block_border_width": "0px",
        "block_border_width_dark": "0px",
        "block_padding": "0px",
        "block_shadow": "none",
        "block_info_text_color": "*neutral_600",
        "block_info_text_color_dark": "*neutral_400",
        "block_label_text_color": "*neutral_700",
        "block_label_text_color_dark": "*neutral_300",
        "block_title_text_color": "*neutral_700",
        "block_title_text_color_dark": "*neutral_300",
        "block_title_text_weight": "600",
        "panel_background_fill": "transparent",
        "panel_background_fill_dark": "transparent",
        "accordion_text_color": "*neutral_700",
        "accordion_text_color_dark": "*neutral_300",
    }


def _buttons() -> dict[str, str]:
    return {
        "button_primary_background_fill": "*primary_700",
        "button_primary_background_fill_hover": "*primary_600",
        "button_primary_background_fill_dark": "*primary_400",
        "button_primary_background_fill_hover_dark": "*primary_300",
        "button_primary_text_color": "*neutral_50",
        "button_primary_text_color_dark": "*neutral_950",
        "button_primary_border_color": "*primary_700",
        "button_primary_border_color_dark": "*primary_400",
        "button_secondary_background_fill": "*neutral_50",
        "button_secondary_background_fill_hover": "*primary_100",
        "button_secondary_background_fill_dark": "*neutral_900",
        "button_secondary_background_fill_hover_dark": "*neutral_800",
        "button_secondary_text_color": "*primary_800",
        "button_secondary_text_color_dark": "*primary_200",
        "button_secondary_border_color": "*neutral_300",
        "button_secondary_border_color_dark": "*neutral_700",
        "button_border_width": "1px",
        "button_large_text_weight": "600",
        "button_transform_hover": "none",
    }


def _fields() -> dict[str, str]:
    return {
        "input_background_fill": "*neutral_50",
        "input_background_fill_dark": "*neutral_900",
        "input_background_fill_focus": "*neutral_50",
        "input_background_fill_focus_dark": "*neutral_900",
        "input_border_color": "*neutral_300",
        "input_border_color_dark": "*neutral_700",
        "input_border_color_focus": "*primary_500",
        "input_border_color_focus_dark": "*primary_400",
        "input_border_width": "1px",
        "input_placeholder_color": "*neutral_500",
        "input_placeholder_color_dark": "*neutral_500",
        "input_shadow_focus": "inset 0 0 0 1px *primary_500",
        "checkbox_background_color": "*neutral_50",
        "checkbox_background_color_dark": "*neutral_900",
        "checkbox_background_color_selected": "*primary_600",
        "checkbox_background_color_selected_dark": "*primary_500",
        "checkbox_border_color": "*neutral_400",
        "checkbox_border_color_dark": "*neutral_500",
        "checkbox_border_color_selected": "*primary_600",
        "checkbox_border_color_selected_dark": "*primary_500",
        "checkbox_label_background_fill": "transparent",
        "checkbox_label_background_fill_dark": "transparent",
        "checkbox_label_background_fill_hover": "transparent",
        "checkbox_label_background_fill_hover_dark": "transparent",
        "checkbox_label_border_width": "0px",
        "checkbox_label_padding": "0px",
        "slider_color": "*primary_600",
        "slider_color_dark": "*primary_400",
    }
