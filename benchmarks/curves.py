"""Curves as an SVG file, drawn with nothing but text: both axes logarithmic, a line and a label each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 230, 50, 50
COLOURS = ["#0b6e99", "#d9730d", "#0f7b6c", "#9b51e0", "#c0392b", "#6b6b6b", "#b8860b", "#2c3e50"]

Curve = Sequence[tuple[float, float]]


def draw(file: Path, title: str, x_label: str, y_label: str, curves: Mapping[str, Curve]) -> None:
    """Writes the file. Values must be above zero."""
    xs = [x for curve in curves.values() for x, _ in curve]
    ys = [y for curve in curves.values() for _, y in curve]
    x_range = (math.floor(math.log10(min(xs))), math.ceil(math.log10(max(xs))))
    y_range = (math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys))))

    def place(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(x) - x_range[0]) / max(x_range[1] - x_range[0], 1)
        up = (math.log10(y) - y_range[0]) / max(y_range[1] - y_range[0], 1)
        return LEFT + along * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"',
        ' font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">{escape(title)}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="{LEFT}" y="42" fill="#555">{escape(y_label)}</text>',
    ]
    for power in range(y_range[0], y_range[1] + 1):
        x, y = place(10.0 ** x_range[0], 10.0**power)
        parts.append(f'<line x1="{x}" y1="{y}" x2="{WIDTH - RIGHT}" y2="{y}" stroke="#ddd"/>')
        parts.append(f'<text x="{x - 6}" y="{y + 4}" text-anchor="end">{10.0**power:,g}</text>')
    for power in range(x_range[0], x_range[1] + 1):
        x, y = place(10.0**power, 10.0 ** y_range[0])
        parts.append(f'<line x1="{x}" y1="{TOP}" x2="{x}" y2="{y}" stroke="#eee"/>')
        parts.append(f'<text x="{x}" y="{y + 16}" text-anchor="middle">{10**power:,}</text>')
    ends = sorted(((place(*curve[-1])[1], name) for name, curve in curves.items()))
    label_y = {name: max(y, TOP) for y, name in ends}
    for (_, above), (_, below) in pairwise(ends):  # labels must not lie upon each other
        label_y[below] = max(label_y[below], label_y[above] + 14)
    for colour, (name, curve) in zip(COLOURS * 9, curves.items(), strict=False):
        points = [place(x, y) for x, y in curve]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        parts.append(
            f'<text x="{WIDTH - RIGHT + 12}" y="{label_y[name] + 4:.1f}" fill="{colour}">{escape(name)}</text>'
        )
    file.write_text("\n".join([*parts, "</svg>"]) + "\n", "utf-8")
