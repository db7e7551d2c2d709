"""The built book, opened page by page in headless Chromium, as a reader would."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from companion.publish.pdf import BROWSERS

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe_module = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

STATIC = Path(__file__).resolve().parents[1] / "book" / "_static"
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
#: No root's sandbox, and no host but this one has an address.
FLAGS = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
SCANNED = [
    "measuring_robustness.html", "guide/explore.html", "appendix/claims.html",
    "appendix/definitions.html",
]  # fmt: skip

#: The rules of axe that depend on the theme.
COLOURS = ["color-contrast", "link-in-text-block"]

# What a page tells about itself once it has settled.
INSPECT = """() => ({
  headings: [...document.querySelectorAll("h1")].filter((h) => h.checkVisibility()).length,
  overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
  broken: [...document.images].filter((i) => !i.complete || i.naturalWidth === 0)
    .map((i) => i.src),
  silent: [
    ...[...document.querySelectorAll("img")].filter((i) => !i.hasAttribute("alt")),
    ...[...document.querySelectorAll("article img")].filter((i) => !i.alt.trim()),
    ...[...document.querySelectorAll("article figure svg, article svg[role=img]")].filter(
      (s) => !s.closest("mjx-container, [aria-hidden=true]") &&
        !(s.getAttribute("aria-label") || s.querySelector("title")?.textContent || "").trim()),
  ].map((e) => e.outerHTML.slice(0, 120)),
  equations: document.querySelectorAll("article .math").length,
  rendered: document.querySelectorAll("article mjx-container").length,
})"""


@dataclass
class Visit:
    """What was seen when one page was opened at the width of a phone."""

    page: str
    console: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def serve(folder: Path) -> Iterator[str]:
    """Serve a folder on this machine, on a free port; yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def site(built_book: Path) -> Iterator[str]:
    yield from serve(built_book)


@pytest.fixture(scope="module")
def pages(built_book: Path) -> list[str]:
    """Every page of the book, as addresses below its root."""
    every = (path.relative_to(built_book) for path in built_book.rglob("*.html"))
    return sorted(path.as_posix() for path in every if path.parts[0] != "_static")


@pytest.fixture(scope="module")
def visits(browser: Any, site: str, pages: list[str]) -> list[Visit]:
    """Open every page once, one after the other in the same window."""
    seen: list[Visit] = []
    window = browser.new_page(viewport=PHONE)
    listen(window, site, seen)
    for name in pages:
        seen.append(Visit(name))
        window.goto(f"{site}/{name}", wait_until="load")
        settle(window)
        seen[-1].facts = window.evaluate(INSPECT)
    window.close()
    return seen


def settle(page: Any) -> None:
    """Wait until mathematics and fonts are in place."""
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.evaluate("() => window.MathJax?.startup?.promise?.then(() => true) ?? true")


def listen(window: Any, site: str, seen: list[Visit]) -> None:
    """Note what goes wrong in a window under the last visit."""

    def on_request(request: Any) -> None:
        if not request.url.startswith((f"{site}/", "data:", "blob:")):
            seen[-1].foreign.append(request.url)

    def on_response(response: Any) -> None:
        if response.status >= 400:
            seen[-1].failed.append(f"{response.status} {response.url}")

    def on_console(message: Any) -> None:
        if message.type == "error":
            seen[-1].console.append(message.text)

    def on_failure(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # by the next visit
            seen[-1].failed.append(request.url)

    window.on("request", on_request)
    window.on("response", on_response)
    window.on("requestfailed", on_failure)
    window.on("pageerror", lambda error: seen[-1].console.append(str(error)))
    window.on("console", on_console)


def complaints(visits: list[Visit], what: str) -> dict[str, Any]:
    """Return, by page, what was found wrong under one attribute or fact."""
    found = {v.page: v.facts[what] if what in v.facts else getattr(v, what) for v in visits}
    return {page: value for page, value in found.items() if value}


def test_the_book_has_its_pages(pages: list[str]) -> None:
    assert {"index.html", *SCANNED} <= set(pages)
    assert [page for page in pages if page.startswith("runs/effective_robustness/")]


@pytest.mark.parametrize("what", ["console", "failed", "foreign", "broken", "silent"])
def test_no_page_has(what: str, visits: list[Visit]) -> None:
    assert complaints(visits, what) == {}


def test_no_page_scrolls_sideways_on_a_phone(visits: list[Visit]) -> None:
    assert {v.page: v.facts["overflow"] for v in visits if v.facts["overflow"] > 0} == {}


def test_every_page_has_one_main_heading(visits: list[Visit]) -> None:
    assert {v.page: v.facts["headings"] for v in visits if v.facts["headings"] != 1} == {}


def test_mathematics_is_rendered(visits: list[Visit]) -> None:
    facts = {v.page: v.facts for v in visits}
    assert facts["appendix/definitions.html"]["equations"] > 0
    unrendered = {
        page: f"{fact['rendered']} of {fact['equations']}"
        for page, fact in facts.items()
        if fact["rendered"] < fact["equations"]
    }
    assert unrendered == {}


@pytest.mark.parametrize(("theme", "options"), [("light", {}), ("dark", {"runOnly": COLOURS})])
def test_axe_finds_nothing_serious(
    browser: Any, site: str, pages: list[str], theme: str, options: dict[str, Any]
) -> None:
    """In the light, and what a theme changes in the dark."""
    run = next(page for page in pages if page.startswith("runs/effective_robustness/"))
    window = browser.new_page(viewport=DESK, reduced_motion="reduce")
    window.add_init_script(
        f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
    )
    found = []
    for name in ["index.html", *SCANNED, run]:
        window.goto(f"{site}/{name}", wait_until="load")
        settle(window)
        assert window.evaluate("document.documentElement.dataset.theme") == theme
        results = axe_module.Axe().run(window, "article.bd-article", options)
        assert results.response["passes"]
        found += [
            f"{name}: {violation['id']}: {node['html'][:160]}: {node['failureSummary']}"
            for violation in results.response["violations"]
            if violation["impact"] in {"serious", "critical"}
            for node in violation["nodes"]
        ]
    window.close()
    assert found == []


def column(table: Any, index: int) -> list[str]:
    """Return the text of one column's cells, from top to bottom."""
    return table.locator("tbody tr").evaluate_all(
        "(rows, i) => rows.map((row) => row.cells[i].textContent.trim())", index
    )


def sort_values(table: Any, index: int) -> list[str]:
    """Return the numbers behind one column's cells; empty texts where there is none."""
    return table.locator("tbody tr").evaluate_all(
        "(rows, i) => rows.map((row) => row.cells[i].dataset.sort ?? '')", index
    )


def test_tables_of_the_book_sort(browser: Any, site: str) -> None:
    page = browser.new_page(viewport=DESK)
    page.goto(f"{site}/measuring_robustness.html", wait_until="load")
    settle(page)
    tables = page.locator("table.sortable").all()
    assert tables, "the chapter has no table of class 'sortable'"
    for table in tables:
        buttons = table.locator("thead th button")
        for index in range(buttons.count()):
            before = column(table, index)
            buttons.nth(index).click()
            header = table.locator("thead th").nth(index)
            sync_api.expect(header).to_have_attribute("aria-sort", "ascending")
            page.wait_for_timeout(20)  # the library sorts on a timer of 1 ms
            assert sorted(column(table, index)) == sorted(before)
            numbers = sort_values(table, index)
            present = [float(value) for value in numbers if value]
            assert present == sorted(present)
            assert not any(numbers[len(present) :]), "a cell without a number is not last"
    page.close()


SMALL_TABLE = """
<table class="sortable">
<thead><tr><th><p>Model</p></th><th><p>ER (points)</p></th></tr></thead><tbody>
<tr><td><p>b</p></td><td><p>9.5 ± 0.2</p></td></tr>
<tr><td><p>a</p></td><td><p>−1.5 ± 0.1</p></td></tr>
<tr><td><p>d</p></td><td><p>not measured</p></td></tr>
<tr><td><p>c</p></td><td><p>1,200.0</p></td></tr>
</tbody></table>"""


LONG_TABLE = """
<div class="companion-search" data-label="Find a concept"></div>
<div class="pst-scrollable-table-container"><table class="sortable searchable">
<thead><tr><th>Concept</th><th>AP (%)</th></tr></thead><tbody>
<tr><td>Café</td><td>90 (v1)</td></tr><tr><td>red cat</td><td>80 (v2)</td></tr>
<tr><td>cat</td><td>85 (v3)</td></tr></tbody></table></div>"""


FRAME = """<!doctype html><html lang="en"><meta charset="utf-8"><title>t</title>
<link rel="stylesheet" href="/companion.css"><article class="bd-article">
%s</article>
<script src="/vendor/sortable/sortable.js"></script><script src="/companion.js"></script></html>"""


def shown(browser: Any, html: str) -> Any:
    """A page on a phone, with the book's scripts and styles."""
    page = browser.new_page(viewport=PHONE)
    page.route(
        "http://book.test/**",
        lambda route: route.fulfill(path=STATIC / route.request.url.split("book.test/")[1]),
    )
    page.route(
        "http://book.test/",
        lambda route: route.fulfill(body=FRAME % html, content_type="text/html; charset=utf-8"),
    )
    page.goto("http://book.test/")
    return page


def test_a_long_table_is_searched_and_still_sorts(browser: Any) -> None:
    page = shown(browser, LONG_TABLE)
    box, visible = page.get_by_label("Find a concept"), page.locator("tbody tr:visible")
    found = page.locator("output.found")
    sync_api.expect(found).to_have_text("3 rows")
    for typed, names in (("cafe", ["Café"]), ("CAT", ["red cat", "cat"]), ("cat red", ["red cat"])):
        box.fill(typed)
        assert [row.locator("td").first.inner_text() for row in visible.all()] == names
        sync_api.expect(found).to_have_text(f"{len(names)} of 3 rows")
    box.fill("cat")
    page.get_by_role("button", name="AP (%)").click()
    page.wait_for_timeout(20)
    assert [row.locator("td").first.inner_text() for row in visible.all()] == ["red cat", "cat"]
    box.fill("nothing")
    sync_api.expect(visible).to_have_count(0)
    page.close()


FEW_VALUES = """
<div class="companion-search" data-label="Find a claim" data-choose="verdict"></div>
<div class="pst-scrollable-table-container"><table class="sortable searchable cards">
<thead><tr><th><p>claim</p></th><th><p>verdict</p></th></tr></thead><tbody>
<tr><td>P-80</td><td><p><span>differs</span> <span>2 of 16</span></p></td></tr>
<tr><td>ER-fit</td><td><p><span>reproduced</span> <span>1 of 1</span></p></td></tr>
<tr><td>C-more</td><td><p><span>not measured</span></p></td></tr>
<tr><td>ER-range</td><td><p><span>reproduced</span> <span>16 of 16</span></p></td></tr>
</tbody></table></div>"""


def test_rows_are_chosen_by_a_value_and_are_cards_on_a_phone(browser: Any) -> None:
    page = shown(browser, FEW_VALUES)
    choice, visible = page.get_by_label("verdict:"), page.locator("tbody tr:visible")
    assert choice.locator("option").all_inner_texts() == [
        "all", "differs (1)", "reproduced (2)", "not measured (1)",
    ]  # fmt: skip
    choice.select_option("reproduced")
    assert [row.locator("td").first.inner_text() for row in visible.all()] == ["ER-fit", "ER-range"]
    page.get_by_label("Find a claim").fill("range")
    sync_api.expect(page.locator("output.found")).to_have_text("1 of 4 rows")
    assert page.get_by_role("cell", name="ER-range").is_visible()  # a cell still, as a card
    names = "(cell) => getComputedStyle(cell, '::before').content"
    cell = visible.locator("td").nth(1)
    assert cell.evaluate(names) == '"verdict"' and not page.locator("thead").is_visible()
    page.set_viewport_size(DESK)
    assert cell.evaluate(names) == "none" and page.locator("thead").is_visible()
    page.close()


def test_sorting_understands_signs_uncertainties_and_gaps(browser: Any) -> None:
    page = shown(browser, SMALL_TABLE)
    table = page.locator("table")
    numbers = page.get_by_role("button", name="ER (points)")
    numbers.click()
    page.wait_for_timeout(20)
    assert column(table, 0) == ["a", "b", "c", "d"]
    numbers.focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(20)
    assert column(table, 0) == ["c", "b", "a", "d"]  # what is not measured stays last
    assert table.locator("th").nth(1).get_attribute("aria-sort") == "descending"
    page.get_by_role("button", name="Model").click()
    page.wait_for_timeout(20)
    assert column(table, 0) == ["a", "b", "c", "d"]
    page.close()


# What of a page a screen reader's user jumps to: row headers, and landmarks with their names.
HEADED = """() => ({
  rows: [...document.querySelectorAll("article table:has(> thead) > tbody > tr")].filter(
    (row) => !row.querySelector("th[scope=row]")).length,
  unnamed: [...document.querySelectorAll("nav, body > footer, [role=contentinfo]")].filter(
    (mark) => !mark.closest("dialog") && !mark.getAttribute("aria-label") &&
      !document.getElementById(mark.getAttribute("aria-labelledby"))).map((m) => m.outerHTML),
})"""


@pytest.mark.parametrize("name", SCANNED)
def test_rows_have_headers_and_landmarks_have_names(browser: Any, site: str, name: str) -> None:
    page = browser.new_page(viewport=DESK)
    page.goto(f"{site}/{name}", wait_until="load")
    assert page.evaluate(HEADED) == {"rows": 0, "unnamed": []}
    page.close()


def test_on_a_phone_figures_fit_and_a_tap_opens_the_drawing(browser: Any, site: str) -> None:
    context = browser.new_context(viewport=PHONE, has_touch=True)
    page = context.new_page()
    page.goto(f"{site}/outlier_features.html", wait_until="load")
    settle(page)
    drawings = page.locator("figure.companion-figure svg[role=img]")
    assert drawings.count()
    for drawing in drawings.all():
        box = drawing.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"])
    with context.expect_page() as opened:
        drawings.first.tap()
    svg = opened.value.locator("svg").first
    assert svg.evaluate("svg => svg.namespaceURI") == "http://www.w3.org/2000/svg"
    assert "var(" not in svg.evaluate("svg => svg.outerHTML")
    context.close()


def test_a_table_that_scrolls_shows_that_there_is_more(browser: Any, site: str) -> None:
    page = browser.new_page(viewport=PHONE)
    page.goto(f"{site}/measuring_robustness.html", wait_until="load")
    settle(page)
    edges = page.query_selector(".companion-edges.more-after")
    assert edges.evaluate("e => getComputedStyle(e, '::after').content") != "none"
    edges.evaluate("e => e.firstElementChild.scrollTo(e.firstElementChild.scrollWidth, 0)")
    page.wait_for_function("e => e.className === 'companion-edges more-before'", arg=edges)
    page.close()


def test_search_shows_chapters_first_with_excerpts_from_a_file(
    browser: Any, built_book: Path
) -> None:
    page = browser.new_page(viewport=DESK)
    errors: list[str] = []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
    page.goto(f"{(built_book / 'search.html').as_uri()}?q=kurtosis", wait_until="load")
    page.get_by_text("Search finished").wait_for()
    items = page.locator("ul.search > li")
    links = [item.locator("a").get_attribute("href") or "" for item in items.all()]
    runs = [link.startswith("runs/") for link in links]
    assert not runs[0] and runs == sorted(runs), links
    assert "/" not in links[0] and sum(runs) >= 2
    excerpts = page.locator("ul.search > li .excerpt")
    assert excerpts.count() >= len(links) - 2
    assert "kurtosis" in excerpts.first.inner_text().lower()
    assert errors == []
    page.close()
