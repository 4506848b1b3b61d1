"""The page in a real browser: what a visitor sees and does."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from serving import PATIENCE, Served

CHROMIUM = Path(os.environ.get("CALOTYPE_CHROMIUM", "/usr/bin/chromium"))
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
PATIENCE_MS = PATIENCE * 1000
PHONE = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "is_mobile": True, "has_touch": True}

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no {CHROMIUM}: install chromium or set CALOTYPE_CHROMIUM"),
]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("browser") / "home")
    try:
        yield served
        assert served.stop() == 0  # also with a page open
    finally:
        served.process.kill()
    assert "Traceback" not in served.log.read_text()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))


@pytest.fixture
def open_page(browser: Browser, service: Served) -> Iterator[Callable[..., Page]]:
    """Open the page in a window of its own; the test fails if it asks another host or its scripts complain."""
    contexts: list[BrowserContext] = []
    asked: list[str] = []
    complaints: list[str] = []

    def opened(**window: Any) -> Page:
        contexts.append(browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | window)))
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        page.goto(service.url)
        expect(page.locator("#prompt textarea")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()
    assert asked
    assert [url for url in asked if not url.startswith((service.url, "data:", "blob:"))] == []
    assert complaints == []


def finish(page: Page, count: int = 1) -> list[str]:
    """Wait until the pictures are there and drawn; their addresses."""
    pictures = page.locator(".ct-finished img")
    expect(pictures).to_have_count(count)
    expect(page.locator("#run")).to_be_enabled()
    for k in range(count):
        page.wait_for_function(
            "image => image.complete && image.naturalWidth > 0", arg=pictures.nth(k).element_handle()
        )
    return [str(pictures.nth(k).get_attribute("src")) for k in range(count)]


def paint(page: Page, prompt: str, count: int = 1) -> str:
    page.locator("#prompt textarea").fill(prompt)
    page.keyboard.press("Enter")
    expect(page.locator("#run")).to_be_disabled()
    return finish(page, count)[0]


def set_number(page: Page, label: str, value: int) -> None:
    field = page.get_by_role("spinbutton", name=label).first
    for _ in range(50):  # faster than any person: an accordion that was just opened sets its fields once more
        field.fill(str(value))
        field.blur()
        page.wait_for_timeout(200)
        if field.input_value() == str(value):
            return
    raise AssertionError(f"{label} does not become {value}")


def begin_long(page: Page) -> None:
    """Something that takes a while, up to its first preview."""
    page.get_by_role("button", name="Advanced").click()
    set_number(page, "Steps", 150)
    set_number(page, "Pictures", 8)
    page.locator("#prompt textarea").fill("castle")
    page.locator("#run").click()
    expect(page.locator(".ct-preview")).to_be_visible()


def seed_of(page: Page) -> str:
    return page.locator("#seed input").input_value()


def test_the_first_picture_needs_a_prompt_and_enter(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.locator("#prompt textarea")).to_be_focused()
    expect(page.locator("#cancel")).to_be_disabled()
    paint(page, "blue cat")  # the model may still be loading: it starts by itself
    expect(page.locator("#status")).to_have_text("Your picture is ready.")
    expect(page.locator("#used")).to_contain_text("20 steps")
    box = page.locator(".ct-finished img").bounding_box()
    assert box is not None
    assert box["width"] == 512  # twice 256: large, and on whole pixels


def test_previews_change_while_it_develops_and_cancel_ends_it(open_page: Callable[..., Page]) -> None:
    page = open_page()
    begin_long(page)
    expect(page.locator("#status")).to_contain_text(re.compile(r"step \d+ of 1200"))
    first = page.locator(".ct-preview").get_attribute("src")
    expect(page.locator(".ct-preview")).not_to_have_attribute("src", str(first))
    expect(page.locator("#run")).to_be_disabled()
    page.locator("#cancel").click()
    expect(page.locator("#status")).to_have_text("Cancelled.")
    expect(page.locator("#cancel")).to_be_disabled()
    expect(page.locator(".ct-preview")).to_have_count(0)
    set_number(page, "Steps", 5)
    set_number(page, "Pictures", 1)
    page.locator("#run").click()
    finish(page)


def test_nobody_waits_for_somebody_elses_long_picture(open_page: Callable[..., Page]) -> None:
    busy = open_page()
    begin_long(busy)
    paint(open_page(), "owl")
    expect(busy.locator("#run")).to_be_disabled()
    busy.locator("#cancel").click()
    expect(busy.locator("#status")).to_have_text("Cancelled.")


def test_a_waiting_picture_says_how_many_come_before_it_and_can_be_cancelled(browser: Browser, tmp_path: Path) -> None:
    served = Served(tmp_path / "home", CALOTYPE_SLOTS="1", CALOTYPE_RESIDENTS="1")
    try:
        pages = [browser.new_page() for _ in range(3)]
        for page in pages:
            page.set_default_timeout(PATIENCE_MS)
            page.goto(served.url)
        begin_long(pages[0])
        for page, said in zip(pages[1:], ("Yours is next.", "1 job before yours."), strict=True):
            page.locator("#prompt textarea").fill("owl")
            page.locator("#run").click()
            expect(page.locator("#status")).to_have_text(re.compile(re.escape(said[:-1]) + r"(, about \d+ \w+)?\."))
        pages[2].locator("#cancel").click()
        expect(pages[2].locator("#status")).to_have_text("Cancelled.")
        pages[0].locator("#cancel").click()
        finish(pages[1])
        for page in pages:
            page.close()
        assert served.stop() == 0
    finally:
        served.process.kill()


def test_vary_makes_another_picture_from_the_one_that_is_shown(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.locator("#vary")).to_be_hidden()
    first = paint(page, "blue cat")
    page.locator("#prompt textarea").fill("tiger")
    page.locator("#strength input[type=number]").fill("0.5")
    page.locator("#strength input[type=number]").blur()
    page.locator("#vary").click()
    expect(page.locator("#used")).to_contain_text("from a picture, 10 of 20 steps (strength 0.5)")
    assert finish(page)[0] != first
    expect(page.locator("#start")).to_be_hidden()
    page.get_by_role("button", name="Advanced").click()
    set_number(page, "Pictures", 2)
    paint(page, "blue cat", 2)
    page.locator("#start").get_by_text("Picture 2").click()
    page.locator("#vary").click()
    expect(page.locator("#used")).to_contain_text("from a picture")
    finish(page, 2)


def test_a_kept_seed_gives_the_same_picture(open_page: Callable[..., Page]) -> None:
    page = open_page()
    first = paint(page, "owl")
    seed = seed_of(page)
    assert f"seed {seed}" in page.locator(".ct-finished figcaption").inner_text()
    assert paint(page, "owl") != first
    page.get_by_label("Randomize").uncheck()
    page.locator("#seed input").fill(seed)
    assert paint(page, "owl") == first
    assert seed_of(page) == seed


def test_an_example_fills_the_prompt_and_runs(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.get_by_role("button", name="blue car").click()
    finish(page)
    expect(page.locator("#prompt textarea")).to_have_value("blue car")
    expect(page.locator(".ct-finished img")).to_have_attribute("alt", "blue car")


def test_the_download_is_the_file(open_page: Callable[..., Page]) -> None:
    page = open_page()
    paint(page, "sun")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download").click()
    assert waiting.value.suggested_filename == f"calotype-{seed_of(page)}.png"
    assert waiting.value.path().read_bytes().startswith(b"\x89PNG")


def test_earlier_pictures_stay_and_a_reload_begins_anew(open_page: Callable[..., Page]) -> None:
    page = open_page()
    paint(page, "moon")
    paint(page, "star")
    expect(page.locator(".ct-earlier img")).to_have_attribute("alt", "moon")
    page.reload()
    expect(page.locator("#prompt textarea")).to_be_visible()
    paint(page, "tree")


def test_only_the_controls_of_what_is_chosen_are_shown(open_page: Callable[..., Page]) -> None:
    page = open_page()
    expect(page.get_by_label("Negative prompt")).to_be_hidden()
    page.get_by_role("button", name="Advanced").click()
    expect(page.get_by_label("Negative prompt")).to_be_visible()
    expect(page.get_by_text("Strength", exact=True)).to_be_hidden()
    page.get_by_label("Film grain").check()
    expect(page.get_by_text("Strength", exact=True)).to_be_visible()
    expect(page.get_by_text("Rho", exact=True)).to_be_hidden()
    page.get_by_label("Schedule").click()
    page.get_by_role("option", name="Karras").click()
    expect(page.get_by_text("Rho", exact=True)).to_be_visible()
    page.get_by_label("Size").first.click()
    page.get_by_role("option", name="64 × 64").click()
    expect(page.get_by_label("Upscale")).not_to_be_checked()
    paint(page, "cat")
    expect(page.locator("#used")).to_contain_text("64 × 64")
    expect(page.locator("#used")).to_contain_text("Film grain")


def test_what_is_wrong_is_said_where_one_looks(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.locator("#run").click()
    expect(page.locator("#status")).to_contain_text("Prompt is empty")
    expect(page.locator("#run")).to_be_enabled()


def test_words_are_never_mark_up(open_page: Callable[..., Page]) -> None:
    page = open_page()
    wicked = "cat <img src=x onerror=document.title=1> {{value}} ${value} `"
    paint(page, wicked)
    expect(page.locator(".ct-finished img")).to_have_attribute("alt", wicked)
    expect(page).to_have_title("Calotype")


def test_on_a_phone_nothing_is_cut_off(open_page: Callable[..., Page]) -> None:
    page = open_page(**PHONE)
    paint(page, "panda with a top hat")
    page.get_by_role("button", name="Advanced").click()
    expect(page.get_by_label("Negative prompt")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    box = page.locator(".ct-finished img").bounding_box()
    assert box is not None
    assert box["width"] > 280
    for field in ("#prompt", "#run", "#cancel", "#seed", "#randomize"):
        place = page.locator(field).bounding_box()
        assert place is not None
        assert place["x"] >= 0
        assert place["x"] + place["width"] <= 390


def luminance(page: Page, selector: str, style: str) -> float:
    """Relative luminance (WCAG) of a computed colour."""
    found = page.locator(selector).first.evaluate("(e, s) => getComputedStyle(e)[s]", style)
    channels = [int(value) / 255 for value in re.findall(r"\d+", found)[:3]]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_schemes_are_readable(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(color_scheme=scheme)
    ground = luminance(page, "body", "backgroundColor")
    assert (ground > 0.5) == (scheme == "light")
    for words in (".ct-status", ".ct-hint", ".ct-header p", ".ct-header h1"):
        ink = luminance(page, words, "color")
        assert (max(ink, ground) + 0.05) / (min(ink, ground) + 0.05) >= 4.5, words
