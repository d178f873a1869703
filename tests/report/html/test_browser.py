"""The page in a real browser: it sorts, filters, opens pictures, obeys the keyboard, and asks nobody for anything."""

import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from robeval.report.html.page import html_report
from tests.report.html.conftest import Artist

Look = Callable[..., Any]


@pytest.fixture(scope="module")
def report(single_seed_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page with pictures in a file."""
    artist = Artist()

    def trial(folder: Path, cell: str, examples: Sequence[str]) -> tuple[Any, str]:
        return artist, examples[0]

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "robeval.engine.replay", SimpleNamespace(trial=trial))
        text = html_report(single_seed_run)
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(text)
    return path


@pytest.fixture
def look(browser: Any, report: Path) -> Iterator[Look]:
    """Opens the page; at the end nothing may have been asked of anybody, and nothing complained."""
    heard: list[str] = []
    contexts: list[Any] = []

    def open_page(width: int = 1280, height: int = 900, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: heard.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("request", lambda request: heard.append(request.url))
        page.goto(report.as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [said for said in heard if not said.startswith(("data:", report.as_uri()))] == []


def _column(page: Any, place: int) -> list[str]:
    """The texts of a column of the shown table."""
    rows = page.locator(".heat:not([hidden]) tbody tr:visible").all()
    return [row.locator("td.spot .value").nth(place).inner_text() for row in rows]


def test_a_column_sorts_both_ways_and_back(look: Look) -> None:
    """Ascending is from good to bad; rows without a figure stay last; the third click restores the plan."""
    page = look()
    before = _column(page, 0)
    head = page.locator(".heat:not([hidden]) thead th").nth(1)
    head.get_by_role("button").click()
    rising = _column(page, 0)
    known = [float(text) for text in rising if text not in ("n/a", "–", "failed")]
    assert known == sorted(known)
    assert rising[-1] == "n/a"
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").click()
    falling = _column(page, 0)
    assert falling == [*reversed(rising[:-1]), "n/a"]
    assert head.get_attribute("aria-sort") == "descending"
    head.get_by_role("button").click()
    assert _column(page, 0) == before
    assert head.get_attribute("aria-sort") == "none"


def test_rows_and_columns_filter(look: Look) -> None:
    """By name, by mark, and by defense; the count says how many are left."""
    page = look()
    names = page.locator(".heat:not([hidden]) tbody tr:visible th")
    page.locator("[data-filter]").fill("search obl")
    assert names.count() == 1
    assert page.locator("[data-count]").inner_text() == "1 of 8 rows"
    page.locator("[data-filter]").fill("")
    page.locator("[data-flagged]").check()
    assert [text.split("\n")[0].split(" ")[0] for text in names.all_inner_texts()] == [
        "search",
        "search-plus",
        "pso",
    ]
    page.locator(".pick summary").click()
    page.get_by_role("checkbox", name="smoothing", exact=True).uncheck()
    assert page.locator(".heat:not([hidden]) thead th[data-defense='smoothing']").is_hidden()
    assert names.count() == 2


def test_another_metric_shows_another_table(look: Look) -> None:
    """One at a time, under the same filters."""
    page = look()
    page.locator("[data-filter]").fill("pso")
    page.locator("[data-metric]").select_option(label="success [%]")
    assert page.locator(".heat:visible").count() == 1
    assert page.locator(".heat:visible tbody tr:visible").count() == 1
    assert 0 <= float(_column(page, 0)[0]) <= 100


def test_the_keyboard_reaches_every_cell(look: Look) -> None:
    """One tab stop, then arrows; focus shows the interval, n and evidence; Escape closes."""
    page = look()
    cells = page.locator(".heat:not([hidden]) .spot button")
    assert page.locator(".heat:not([hidden]) .spot button[tabindex='0']").count() == 1
    cells.first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        page.keyboard.press(key)
    tip = page.locator("#tip")
    assert "search:restarts=4,iterations=50 ≤ 1 m × smoothing" in tip.inner_text()
    assert "n 96" in tip.inner_text()
    assert "the gradient was zero for 90 of 96 examples" in tip.inner_text()
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="Show examples").is_visible()
    page.keyboard.press("Escape")
    assert tip.is_hidden()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.closest('td').dataset.defense") == "randomised-smoothing"


def test_hover_tells_and_leaves(look: Look) -> None:
    """Without a click nothing stays in the way."""
    page = look()
    cell = page.locator(".heat:not([hidden]) .spot button").nth(6)
    cell.hover()
    assert "noise ≤ 1 m × smoothing" in page.locator("#tip").inner_text()
    page.mouse.move(2, 2)
    assert page.locator("#tip").is_hidden()


def test_pictures_open_step_and_close(look: Look) -> None:
    """A click enlarges; arrows go through the pictures; Escape gives the focus back."""
    page = look()
    page.locator("[data-gallery='attack']").select_option("")
    page.locator(".example:visible [data-open]:visible").first.click()
    viewer = page.locator("#viewer")
    first = viewer.locator("img").get_attribute("alt")
    assert viewer.locator("img").evaluate("image => image.complete && image.naturalWidth > 100")
    page.keyboard.press("ArrowRight")
    assert viewer.locator("img").get_attribute("alt") != first
    page.keyboard.press("ArrowLeft")
    assert viewer.locator("img").get_attribute("alt") == first
    page.keyboard.press("Escape")
    assert viewer.is_hidden()
    assert page.evaluate("document.activeElement.hasAttribute('data-open')")


def test_a_cell_leads_to_its_examples(look: Look) -> None:
    """From a figure of the matrix to what it looks like, also when the gallery hides that attack."""
    page = look()
    page.locator(".heat:not([hidden]) .spot button").nth(5).click()
    page.get_by_role("button", name="Show examples").click()
    assert "noise ≤ 1 m" in page.locator("#viewer [data-viewer-title]").inner_text()


def test_the_gallery_filters(look: Look) -> None:
    """By rank, attack and defense."""
    page = look()
    page.locator("[data-gallery='attack']").select_option("pso ≤ 1 m")
    page.locator("[data-gallery='defense']").select_option("none")
    assert page.locator(".example:visible").count() == 1
    page.get_by_text("median", exact=True).first.click()
    assert page.locator(".example:visible figure:visible").get_attribute("data-rank") == "median"


def _ground(page: Any) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


def test_light_and_dark_follow_the_system_until_chosen(look: Look) -> None:
    """The button turns the page around and remembers."""
    light, dark = look(scheme="light"), look(scheme="dark")
    assert _ground(light) != _ground(dark)
    ground = _ground(dark)
    light.locator("[data-theme-toggle]").click()
    assert _ground(light) == ground
    light.reload()
    assert _ground(light) == ground
    assert light.locator("[data-theme-name]").inner_text() == "Dark"


@pytest.mark.parametrize("width", [375, 320])
def test_a_phone_never_scrolls_sideways(look: Look, width: int) -> None:
    """Wide tables scroll in their own box."""
    page = look(width, 812)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".heat:not([hidden]) .scroll").evaluate("box => box.scrollWidth > box.clientWidth")


CONTRAST = """
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    colours.forEach((colour) => { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); });
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3).map((part) => {
      const share = part / 255;
      return share <= 0.03928 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
  };
  const light = (colours) => { const [r, g, b] = paint(colours); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const poor = [];
  for (const element of document.querySelectorAll("main *")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.offsetParent || element.closest(".hidden, svg, [aria-hidden]")) continue;
    const grounds = [];
    for (let at = element; at; at = at.parentElement) grounds.unshift(getComputedStyle(at).backgroundColor);
    const [a, b] = [light(grounds), light([...grounds, getComputedStyle(element).color])].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) poor.push(`${element.className || element.tagName}: ${element.innerText}`);
  }
  return [...new Set(poor)];
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(look: Look, scheme: str) -> None:
    """At least 4.5 to 1, in both schemes."""
    assert look(scheme=scheme).evaluate(CONTRAST) == []


def test_headings_and_names_make_sense_to_a_screen_reader(look: Look) -> None:
    """One first heading, no level left out, and a name for whatever can be operated."""
    page = look()
    levels = page.evaluate("[...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nameless = page.evaluate(
        "[...document.querySelectorAll('main button, main select, main input')].filter("
        "e => !(e.textContent.trim() || e.labels?.length || e.getAttribute('aria-label'))).length"
    )
    assert nameless == 0


def test_it_prints_on_white_without_controls(look: Look) -> None:
    """Whatever the scheme on the screen."""
    page = look(scheme="dark")
    page.emulate_media(media="print")
    assert _ground(page) == "rgb(255, 255, 255)"
    assert page.locator(".controls").first.is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
