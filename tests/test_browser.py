"""The built book, opened page by page in headless Chromium, as a reader would."""

from __future__ import annotations

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import OWN, settle, what_axe_finds

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

STATIC = Path(__file__).resolve().parents[1] / "book" / "_static"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
RUN = "runs/effective_robustness/rn50.html"
#: Where axe looks. The explorer has tests of its own.
ALWAYS = ["index.html", "outlier_features.html", "appendix/claims.html"]
SCANNED = {
    "light": [*ALWAYS, "measuring_robustness.html", "appendix/definitions.html", RUN],
    "dark": ALWAYS,
}

#: The rules of axe that depend on the theme.
COLOURS = ["color-contrast", "link-in-text-block"]

CASES = Path(__file__).with_name("cases")
#: Programs that run in a page, and a page of one table.
INSPECT, OFF_SCREEN, TABLE = (
    (CASES / name).read_text(encoding="utf-8")
    for name in ("inspect_page.js", "off_screen.js", "table.html")
)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def site(built_book):
    """The address of the book, served on this machine on a free port."""
    handler = partial(QuietHandler, directory=str(built_book))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def visits(browser, site, built_book):
    """What is wrong with every page, at the width of a phone, by its address below the root.

    Pages of code are alike: one is enough.
    """
    every = (path.relative_to(built_book) for path in built_book.rglob("*.html"))
    every = (path for path in every if path.parts[0] != "results" or path.stem == "pruning")
    seen = {}
    window = browser.new_page(viewport=PHONE)
    listen(window, seen)
    for name in sorted(path.as_posix() for path in every if path.parts[0] != "_static"):
        seen[name] = {"console": [], "failed": [], "foreign": []}
        window.goto(f"{site}/{name}", wait_until="load")
        settle(window)
        seen[name] |= window.evaluate(INSPECT)
    window.close()
    return seen


def listen(window, seen):
    """Note what goes wrong in a window under the last visit."""

    def note(kind, text, wrong=True):
        if wrong:
            [*seen.values()][-1][kind].append(text)

    window.on("request", lambda one: note("foreign", one.url, not one.url.startswith(OWN)))
    window.on("response", lambda one: note("failed", f"{one.status} {one.url}", one.status >= 400))
    aborted = "net::ERR_ABORTED"  # by the next visit
    window.on("requestfailed", lambda one: note("failed", one.url, one.failure != aborted))
    window.on("pageerror", lambda error: note("console", str(error)))
    window.on("console", lambda message: note("console", message.text, message.type == "error"))


def test_the_book_has_its_pages(visits):
    assert {*SCANNED["light"]} <= {*visits}
    assert visits["appendix/definitions.html"]["equations"] > 0


@pytest.mark.parametrize(
    "what",
    ["console", "failed", "foreign", "headings", "overflow", "broken", "silent", "unrendered",
     "headless", "unnamed", "unreadable"],
)  # fmt: skip
def test_nothing_is_wrong_on_any_page(what, visits):
    assert {page: seen[what] for page, seen in visits.items() if seen[what]} == {}


@pytest.mark.parametrize("width", [1280, 390])
def test_the_front_page_says_what_was_found_without_scrolling(width, open_page, site):
    page = open_page(f"{site}/index.html", {"width": width, "height": 800 if width > 600 else 844})
    boxes = [page.locator(of).bounding_box() for of in (".doors", ".claim-strip")]
    assert page.locator(".claim-strip a").count() == 14 and page.locator(".doors a").count() == 4
    assert max(box["y"] + box["height"] for box in boxes) <= page.viewport_size["height"]


def test_slides_fit_their_screen(browser, site, built_book):
    window = browser.new_page(viewport={"width": 1280, "height": 720})
    wrong, decks = {}, sorted((built_book / "slides").glob("*.html"))
    for deck in decks:
        window.goto(f"{site}/slides/{deck.name}", wait_until="load")
        for number in range(window.locator("section").count()):
            if found := window.evaluate(OFF_SCREEN):
                wrong[deck.stem, number + 1] = found
            window.keyboard.press("ArrowRight")
    window.close()
    assert len(decks) == 9 and wrong == {}


@pytest.mark.parametrize(("theme", "options"), [("light", {}), ("dark", {"runOnly": COLOURS})])
def test_axe_finds_nothing_serious(browser, site, theme, options):
    """In the light, and what a theme changes in the dark."""
    window = browser.new_page(viewport=DESK, reduced_motion="reduce")
    window.add_init_script(
        f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
    )
    found = []
    for name in SCANNED[theme]:
        window.goto(f"{site}/{name}", wait_until="load")
        settle(window)
        assert window.evaluate("document.documentElement.dataset.theme") == theme
        found += [(name, one) for one in what_axe_finds(window, "body", options)]
    window.close()
    assert found == []


@pytest.fixture
def table(browser):
    """A page of one table, with the book's scripts and styles."""
    page = browser.new_page(viewport=DESK)
    page.route(
        "http://book.test/**",
        lambda route: route.fulfill(path=STATIC / route.request.url.split("book.test/")[1]),
    )
    page.route(
        "http://book.test/",
        lambda route: route.fulfill(body=TABLE, content_type="text/html; charset=utf-8"),
    )
    page.goto("http://book.test/")
    yield page
    page.close()


def names(page):
    """The first letters of the rows that are to be seen."""
    cells = page.locator("tbody td:first-child:visible")
    return "".join(text[0] for text in cells.all_inner_texts())


def sort(page, by):
    page.get_by_role("button", name=by).press("Enter")
    page.wait_for_timeout(20)  # the library sorts on a timer of 1 ms


def test_a_table_is_searched_and_still_sorts(table):
    box, found = table.get_by_label("Find a model"), table.locator("output.found")
    sync_api.expect(found).to_have_text("4 rows")
    for typed, left in (("naif", "b"), ("CAT", "ac"), ("cat red", "a"), ("nothing", "")):
        box.fill(typed)
        sync_api.expect(found).to_have_text(f"{len(left)} of 4 rows")
        assert names(table) == left
    box.fill("cat")
    sort(table, "ER (points)")
    sort(table, "ER (points)")
    assert names(table) == "ca"


def test_rows_are_chosen_by_a_value_and_are_cards_on_a_phone(table):
    choice = table.get_by_label("verdict:")
    assert choice.locator("option").all_inner_texts() == [
        "all", "differs (1)", "reproduced (2)", "not measured (1)",
    ]  # fmt: skip
    choice.select_option("reproduced")
    assert names(table) == "ac"
    table.get_by_label("Find a model").fill("red")
    sync_api.expect(table.locator("output.found")).to_have_text("1 of 4 rows")
    label = "(cell) => getComputedStyle(cell, '::before').content"
    cell, head = table.locator("tbody tr:visible td").nth(2), table.locator("thead")
    assert cell.evaluate(label) == "none" and head.is_visible()
    table.set_viewport_size(PHONE)
    assert cell.evaluate(label) == '"verdict"' and not head.is_visible()
    assert cell.get_attribute("role") == "cell"  # still, as a card


def test_sorting_understands_signs_uncertainties_and_gaps(table):
    assert table.locator("th.numeric").all_inner_texts() == ["ER (points)"]  # no list
    for by, order, direction in (
        ("ER (points)", "abcd", "ascending"),
        ("ER (points)", "cbad", "descending"),  # what is not measured stays last
        ("Model", "abcd", "ascending"),
    ):
        sort(table, by)
        header = table.locator("th", has_text=by)
        assert (names(table), header.get_attribute("aria-sort")) == (order, direction)


def test_on_a_phone_figures_fit_and_a_tap_opens_the_drawing(open_page, site):
    page = open_page(f"{site}/outlier_features.html", PHONE)
    drawings = page.locator("figure.companion-figure svg[role=img]:visible")
    assert drawings.count()
    for narrow in page.locator("figure.companion-figure svg.narrow:visible").all():
        assert narrow.bounding_box()["width"] <= PHONE["width"]
    for frame in page.locator("figure.companion-figure > .companion-zoom").all():
        box = frame.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"])
    with page.context.expect_page() as opened:
        drawings.first.tap()
    svg = opened.value.locator("svg").first
    assert svg.evaluate("svg => svg.namespaceURI") == "http://www.w3.org/2000/svg"
    assert "var(" not in svg.evaluate("svg => svg.outerHTML")


def test_a_table_that_scrolls_shows_that_there_is_more(open_page, site):
    page = open_page(f"{site}/measuring_robustness.html", PHONE)
    edges = page.query_selector(".companion-edges.more-after")
    assert edges.evaluate("e => getComputedStyle(e, '::after').content") != "none"
    edges.evaluate("e => e.firstElementChild.scrollTo(e.firstElementChild.scrollWidth, 0)")
    page.wait_for_function("e => e.className === 'companion-edges more-before'", arg=edges)


FOUND_FIRST = [
    ("Table 2", "appendix/paper.html#table-2"),
    ("figure 3", "appendix/paper.html#figure-3"),
    ("zero-shot", "appendix/glossary.html#term-zero-shot"),
    ("what is logit", "appendix/glossary.html#term-logit"),
]


@pytest.mark.parametrize(("asked", "first"), FOUND_FIRST)
def test_search_finds_counterparts_and_terms_first(asked, first, open_page, built_book):
    page = open_page(f"{(built_book / 'search.html').as_uri()}?q={asked}", DESK)
    page.get_by_text("Search finished").wait_for()
    links = page.locator("ul.search > li > a")
    assert first in [links.nth(i).get_attribute("href") for i in range(2)]


def test_search_knows_abbreviations(open_page, built_book):
    page = open_page(f"{(built_book / 'search.html').as_uri()}?q=llm", DESK)
    page.get_by_text("Search finished").wait_for()
    assert "language model" in page.locator("ul.search").inner_text().lower()


def test_a_term_shows_its_definition_to_mouse_keyboard_and_finger(open_page, site):
    page = open_page(f"{site}/outlier_features.html", DESK)
    tip, term = page.get_by_role("tooltip"), page.locator("article a:has(.std-term)").first
    term.hover()
    assert len(tip.inner_text().split()) > 5
    assert term.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    assert tip.count() == 0 or tip.is_hidden()
    term.focus()
    assert page.get_by_role("tooltip").is_visible()
    page.keyboard.press("Tab")
    assert not page.get_by_role("tooltip").is_visible()
    page = open_page(f"{site}/outlier_features.html", PHONE)
    term = page.locator("article a:has(.std-term)").first
    term.tap()
    assert page.get_by_role("tooltip").is_visible() and "glossary" not in page.url
    term.tap()
    page.wait_for_url("**/appendix/glossary.html#*")


def test_buttons_say_of_which_exercise_they_show_the_solution(open_page, site):
    page = open_page(f"{site}/outlier_features.html", DESK)
    page.get_by_role("button", name="Solution of outlier-2").wait_for()
    named = page.locator(".toggle-button").evaluate_all("all => all.map(b => b.ariaLabel)")
    assert len(named) == len({*named}) > 5


def test_a_caption_stays_when_its_table_scrolls(open_page, site):
    page = open_page(f"{site}/measuring_robustness.html", PHONE)
    box = page.locator(".pst-scrollable-table-container:has(caption)").first
    caption = box.locator("caption")
    before = caption.bounding_box()
    box.evaluate("e => e.scrollTo(e.scrollWidth, 0)")
    assert abs(caption.bounding_box()["x"] - before["x"]) < 1
    assert before["width"] <= PHONE["width"]


def test_search_shows_chapters_first_with_excerpts_from_a_file(open_page, built_book):
    page = open_page(f"{(built_book / 'search.html').as_uri()}?q=kurtosis", DESK)
    page.get_by_text("Search finished").wait_for()
    items = page.locator("ul.search > li")
    links = [item.locator("a").get_attribute("href") or "" for item in items.all()]
    runs = [link.startswith("runs/") for link in links]
    assert not runs[0] and runs == sorted(runs), links
    assert "/" not in links[0] and sum(runs) >= 2
    excerpts = page.locator("ul.search > li .excerpt")
    assert excerpts.count() >= len(links) - 2
    assert "kurtosis" in excerpts.first.inner_text().lower()
