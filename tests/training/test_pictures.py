"""Pictures show what their scene says."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Callable

import little_data
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from calotype_training.captions import Scene
from calotype_training.concepts import ACCESSORIES, COLOURS
from calotype_training.dataset import Dataset
from calotype_training.pictures import _GROUNDS, _MIRRORED, _PALETTE, PIXELS, Composer, recolour

CAT, DOG, OWL, ROBOT = little_data.CONCEPTS[:4]
CHERRY, CAR = little_data.CONCEPTS[10:]
Make = Callable[..., Composer]


def _ink(picture: np.ndarray) -> np.ndarray:
    """(64, 64) how much of each pixel is not the white ground, 0 … 1."""
    darkest = (255 - picture.astype(np.float32)).max(-1)
    share: np.ndarray = (darkest / darkest.max()).clip(0, 1)
    return share


def _magenta(picture: np.ndarray) -> int:
    """Pixels in the colour of the judge's own drawings."""
    return int((abs(picture.astype(int) - little_data.MAGENTA).max(-1) < 30).sum())


def test_a_seed_gives_the_same_pictures(composer: Make) -> None:
    def drawn(seed: int) -> list[tuple[bytes, str]]:
        made = composer(seed)
        return [(picture.tobytes(), caption) for picture, caption in (made.sample() for _ in range(40))]

    assert drawn(5) == drawn(5)
    assert not set(drawn(5)) & set(drawn(6))
    assert len(set(drawn(5))) >= 38  # a portrait may come twice


def test_shape_and_type(composer: Make) -> None:
    made = composer(0)
    for picture, caption in (made.sample() for _ in range(300)):
        assert (picture.shape, picture.dtype) == ((PIXELS, PIXELS, 3), np.uint8)
        assert caption
        assert picture.std() > 3


def test_nothing_is_put_out_of_the_frame(composer: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    put, places = Composer._put, []

    def noted(self: Composer, canvas: np.ndarray, thing: np.ndarray, left: int, top: int, side: int) -> None:
        places.append((left, top, side))
        put(self, canvas, thing, left, top, side)

    monkeypatch.setattr(Composer, "_put", noted)
    made = composer(3)
    for _ in range(1500):
        made.sample()
    assert not [place for place in places if min(place[:2]) < 0 or max(place[:2]) + place[2] > PIXELS]
    assert {29, 32, 40, 61} <= {side for _, _, side in places}  # three, two, small, big


@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.62, 0.95]))
def test_a_disc_stays_a_whole_disc(dataset: Dataset, seed: int, size: float) -> None:
    picture = Composer(dataset, random.Random(seed)).draw(Scene(CAT, size=size, style="flat"))
    rows, columns = (np.flatnonzero(_ink(picture).max(axis) > 0.5) for axis in (1, 0))
    height, width = rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    assert abs(height - width) <= 2  # turned, its edge may fall a little beside the pixels
    expected = {0.0: (53, 63), 0.62: (38, 40), 0.95: (58, 61)}[size]
    assert expected[0] - 1 <= width <= expected[1]
    area = ((255 - picture.astype(np.float32)).max(-1) / 215).clip(0, 1).sum()  # 215: the cat's own darkest channel
    white = np.pi * (5**2 - 2**2) * (width / 70) ** 2
    assert abs(area + white - np.pi / 4 * width * height) < 0.05 * width * height


def test_drawings_are_mirrored_at_times(composer: Make) -> None:
    """The drawings have one eye, left of the middle."""
    left = 0
    for seed in range(200):
        picture = composer(seed).draw(Scene(CAT, size=0.95, style="flat")).astype(int)
        eye = np.argwhere(picture[10:54, 10:54].min(-1) > 250).mean(0)
        left += bool(eye[1] < 22)
    assert abs(1 - left / 200 - _MIRRORED) < 0.1


@pytest.mark.parametrize("colour", COLOURS)
def test_recolouring_moves_the_hue_to_the_colour(dataset: Dataset, colour: str) -> None:
    target = np.array(_PALETTE[colour], np.float32)
    for drawing, entry in zip(dataset.drawings, dataset.entries, strict=True):
        thing = drawing.astype(np.float32)
        painted = recolour(thing, colour)
        assert (painted.shape, painted.dtype) == (thing.shape, np.float32)
        assert (painted[..., 3] == thing[..., 3]).all()
        assert painted.min() >= 0 and painted.max() <= 255
        white = (thing[..., :3].min(-1) > 250) & (thing[..., 3] > 250)
        assert abs(painted[white] - thing[white]).max(initial=0) < 12, "an eye stays white"
        body = (thing[..., 3] > 250) & (thing[..., :3].max(-1) - thing[..., :3].min(-1) > 40)
        before, after = (each[body][:, :3].mean(0) for each in (thing, painted))
        distance = np.linalg.norm(after - target)
        assert distance < max(30, 0.5 * np.linalg.norm(before - target)), entry
        if colour not in ("black", "gray"):
            hue, wanted = (colorsys.rgb_to_hsv(*(each / 255))[0] for each in (after, target))
            assert min(abs(hue - wanted), 1 - abs(hue - wanted)) < 0.05, entry


def test_a_gray_drawing_is_recoloured_too() -> None:
    thing = np.full((72, 72, 4), 255, np.float32)
    thing[..., :3] = np.linspace(60, 180, 72)[:, None, None]
    painted = recolour(thing, "blue")[..., :3]
    assert (painted[..., 2] > painted[..., 0] + 30).mean() > 0.9
    assert painted[60].mean() > painted[10].mean()  # light and dark stay


def test_a_scene_has_its_colour(composer: Make) -> None:
    for colour in ("red", "green", "blue"):
        picture = composer(1).draw(Scene(CAR, colour, size=0.95, style="noto"))
        body = picture[_ink(picture) > 0.5].astype(int).mean(0)
        assert abs(body - _PALETTE[colour]).max() < 60, colour


@pytest.mark.parametrize("ground", COLOURS)
def test_the_corners_have_the_grounds_colour(composer: Make, ground: str) -> None:
    for seed in range(5):
        picture = composer(seed).draw(Scene(CAT, background=ground, size=0.62))
        for corner in (picture[0, 0], picture[0, -1], picture[-1, 0], picture[-1, -1]):
            assert tuple(corner) == _GROUNDS[ground]
        assert (picture != _GROUNDS[ground]).any(-1).mean() > 0.1
    assert (composer(0).draw(Scene(CAT, size=0.62))[0] == 255).all()


def test_pixel_style_is_blocks_of_four(composer: Make) -> None:
    def in_blocks(picture: np.ndarray) -> bool:
        return bool((picture == picture[::4, ::4].repeat(4, 0).repeat(4, 1)).all())

    assert all(in_blocks(composer(seed).draw(Scene(CAT, style="pixel"))) for seed in range(10))
    assert not any(in_blocks(composer(seed).draw(Scene(CAT, style="flat"))) for seed in range(10))


@pytest.mark.parametrize("accessory", ACCESSORIES)
@pytest.mark.parametrize("wearer", [CAT, DOG, OWL, ROBOT], ids=lambda concept: concept.name)
def test_accessories_change_the_upper_part(composer: Make, wearer: object, accessory: str) -> None:
    for seed in range(6):
        bare = composer(seed).draw(Scene(wearer, size=1.0, style="flat"))  # type: ignore[arg-type]
        worn = composer(seed).draw(Scene(wearer, accessory=accessory, size=1.0, style="flat"))  # type: ignore[arg-type]
        changed = (abs(bare.astype(int) - worn).max(-1) > 30).mean(1)
        assert changed[:32].mean() > 0.05
        if "glasses" in accessory:
            assert changed[54:].max() == 0
        else:
            assert (_ink(worn)[54:].max(1) > 0.5).any()  # the wearer moved down, and is still there


def test_counts_and_pairs_stand_apart(composer: Make) -> None:
    two = _ink(composer(0).draw(Scene(CAT, count=2, style="flat")))
    assert two[:, 4:28].max() > 0.5 and two[:, 36:60].max() > 0.5 and two[:10].max() < 0.1
    three = _ink(composer(0).draw(Scene(CAT, count=3, style="flat")))
    assert three[5:28, 24:40].max() > 0.5 and three[40:60, 6:26].max() > 0.5 and three[40:60, 38:58].max() > 0.5
    assert three[:28, :12].max() < 0.1
    pair = composer(0).draw(Scene(CAR, other=CHERRY, style="flat")).astype(int)
    left, right = (half[_ink(half) > 0.5].mean(0) for half in (pair[:, :30], pair[:, 34:]))
    assert abs(left - right).max() > 30


def test_the_judges_drawings_are_kept_from_the_generator(composer: Make) -> None:
    plain, all_of_them = composer(8), composer(8, every_drawing=True)
    assert sum(_magenta(plain.sample()[0]) > 20 for _ in range(500)) == 0
    assert sum(_magenta(all_of_them.draw(Scene(CAR))) > 20 for _ in range(80)) > 5
    assert sum(_magenta(plain.draw(Scene(CAR))) > 20 for _ in range(80)) == 0
    assert (len(plain.drawings_of("car")), len(all_of_them.drawings_of("car"))) == (3, 4)


def test_a_style_that_was_never_drawn_is_not_said(composer: Make) -> None:
    """The cat has no 3d drawing; there is none of any in classic, twemoji and glossy."""
    made = composer(2)
    captions = [made.sample()[1] for _ in range(1200)]
    assert any("3d style" in caption for caption in captions)
    assert not [
        each for each in captions if any(f"{style} style" in each for style in ("classic", "twemoji", "glossy"))
    ]
    assert not [each for each in captions if "3d style" in each and any(word in each for word in CAT.words)]


def test_plain_drawings(composer: Make, dataset: Dataset) -> None:
    made = composer(0)
    numbers = made.drawings_of("owl")
    shown = made.plain(numbers)
    assert (shown.shape, shown.dtype) == ((len(numbers), 64, 64, 3), np.uint8)
    assert (shown[:, 0] == 255).all()
    assert abs(shown[0, 10, 32].astype(int) - 255).max() > 20 or abs(shown[0, 50, 32].astype(int) - 255).max() > 20
