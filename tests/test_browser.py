"""The built book, opened page by page in headless Chromium, as a reader would."""

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from conftest import cases, drawn, listen, settle, what_axe_finds
from playwright import sync_api

from companion.claims.ledger import load_claims

STATIC = Path(__file__).resolve().parents[1] / "companion" / "engine" / "static"
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
RUN = "runs/effective_robustness/rn50.html"
#: Where axe looks: a front page, a ledger, formulas, a run, and, where it has time, chapters. The
#: explorer has tests of its own.
SCANNED = ["index.html", "appendix/claims.html", "appendix/definitions.html", RUN]
CHAPTERS = ["outlier_features.html", "measuring_robustness.html"]

#: The rules of axe that depend on the theme.
COLOURS = ["color-contrast", "link-in-text-block"]

CASES = Path(__file__).with_name("cases")
#: Programs that run in a page, and a page of one table.
INSPECT, OFF_SCREEN, TABLE = (
    (CASES / name).read_text() for name in ("inspect_page.js", "off_screen.js", "table.html")
)


@pytest.fixture(scope="module")
def site(built_book):
    """The address of the book in its folder, from which a page may do less than from a server."""
    return built_book.as_uri()


@pytest.fixture(scope="module")
def names(built_book):
    """The pages of the book: chapters and a few more, others each time, and all the rest.

    Of the pages of code one is enough.
    """
    every = [path.relative_to(built_book) for path in sorted(built_book.rglob("*.html"))]
    of_code = [p for p in every if p.parts[0] in ("_static", "results") and p.stem != "pruning"]
    pages = [path.as_posix() for path in every if path not in of_code]
    more = [page for page in pages if "/" in page and page not in SCANNED]
    visited = [page for page in pages if page not in more] + drawn(more, 12)
    return visited, [page for page in pages if page not in visited]


def visit(browser, site, names):
    """What is wrong with pages, at the width of a phone, by their addresses below the root."""
    seen = {}
    window = browser.new_page(viewport=PHONE)
    listen(window, lambda text: [*seen.values()][-1]["noted"].append(text))
    for name in names:
        seen[name] = {"noted": []}
        window.goto(f"{site}/{name}", wait_until="load")
        settle(window)
        seen[name] |= window.evaluate(INSPECT)
    window.close()
    return seen


def wrong(seen):
    """Of each page what is not empty, but for its equations."""
    return {
        (page, what): value
        for page, kinds in seen.items()
        for what, value in kinds.items()
        if value and what != "equations"
    }


def test_nothing_is_wrong_on_the_chapters_and_some_pages(browser, site, names):
    visits = visit(browser, site, names[0])
    assert {*SCANNED, *CHAPTERS} <= {*visits}
    assert visits["appendix/definitions.html"]["equations"] > 0
    assert wrong(visits) == {}


@pytest.mark.slow
def test_nothing_is_wrong_on_any_other_page(browser, site, names):
    assert wrong(visit(browser, site, names[1])) == {}


@pytest.mark.parametrize("width", [1440, 390])
def test_the_front_page_has_its_figure_and_its_doors_without_scrolling(width, open_page, site):
    high = 900 if width > 600 else 844
    page = open_page(f"{site}/index.html#turn=90", {"width": width, "height": high})
    assert page.locator(".explorable-stage").get_attribute("data-degrees") == "90"
    for part in (".explorable-stage", ".doors"):
        box = page.locator(part).bounding_box()
        assert box["y"] + box["height"] <= high
    exact, stored = page.locator(".explorable-found q").all_inner_texts()
    assert exact == stored and page.locator(".doors a").count() == 3
    assert 0 < page.locator(".claim-strip a").count() < len(load_claims())  # decided ones


def test_no_script_holds_back_the_first_paint(open_page, site):
    page = open_page(f"{site}/{CHAPTERS[0]}", DESK)
    at_once = page.locator("head script[src]:not([defer], [async])")
    names = at_once.evaluate_all("all => all.map(s => s.src.split('/').pop().split('?')[0])")
    assert names == ["documentation_options.js"]


def test_badges_say_what_their_kind_of_evidence_is(open_page, site):
    badges = open_page(f"{site}/{CHAPTERS[0]}", DESK).locator(".evidence")
    titles = badges.evaluate_all("all => all.map(b => b.title)")
    assert titles and all(title.endswith(".") for title in titles)


def test_slides_fit_their_screen_are_large_enough_and_name_their_axes(browser, site, built_book):
    window = browser.new_page(viewport={"width": 1280, "height": 720})
    wrong, panels, decks = {}, 0, sorted((built_book / "slides").glob("*.html"))
    for deck in decks:
        window.goto(f"{site}/slides/{deck.name}", wait_until="load")
        panels += window.locator("g.axes g.axis .xtick").count() > 0
        for number in range(window.locator("section").count()):
            if outside := window.evaluate(OFF_SCREEN):
                wrong[deck.stem, number + 1] = outside
            window.keyboard.press("ArrowRight")
    window.close()
    assert len(decks) == 12 and panels > 9 and wrong == {}


def test_notes_and_the_clock_are_shown_on_request_and_printed(browser, site):
    window = browser.new_page(viewport={"width": 1280, "height": 720})
    window.goto(f"{site}/slides/meeting_5.html#slide-3", wait_until="load")
    shown = "section.shown blockquote, section.shown .clock"
    assert not any(e.is_visible() for e in window.query_selector_all(shown))
    window.goto(f"{site}/slides/meeting_5.html?notes#slide-3", wait_until="load")
    notes, clock = window.query_selector_all(shown)
    assert "fourth power" in notes.inner_text() and " of 82" in clock.inner_text()
    window.emulate_media(media="print")
    each = window.evaluate(
        """() => [...document.querySelectorAll("section")].map((section) => {
            const [slide, notes] = section.children;
            return [slide, notes].map((e) => e.scrollHeight - e.clientHeight + e.scrollWidth
                - e.clientWidth);
        })"""
    )
    window.close()
    assert len(each) == 14 and all(slide <= 2 and notes <= 2 for slide, notes in each)


def test_a_form_can_be_filled_in_and_is_kept(browser, site):
    window = browser.new_page(viewport=DESK)
    window.goto(f"{site}/guide/lab_sheet.html", wait_until="load")
    boxes = window.get_by_role("textbox", name=": reason")
    assert boxes.count() == 6 + 8 and window.locator(".companion-form [role=textbox]").count() == 54
    box = window.get_by_role("textbox", name="supervised: unseen styles (%)")
    box.fill("12")
    window.reload(wait_until="load")
    assert box.inner_text() == "12" and boxes.first.inner_text() == ""
    window.close()


@pytest.mark.parametrize(
    ("theme", "options", "pages"),
    [
        ("light", {}, SCANNED),
        ("dark", {"runOnly": COLOURS}, SCANNED[:1]),
        pytest.param("light", {}, CHAPTERS, marks=pytest.mark.slow),
        pytest.param("dark", {"runOnly": COLOURS}, SCANNED + CHAPTERS, marks=pytest.mark.slow),
    ],
)
def test_axe_finds_nothing_serious(browser, site, theme, options, pages):
    """In the light, and what a theme changes in the dark."""
    window = browser.new_page(viewport=DESK, reduced_motion="reduce")
    window.add_init_script(
        f"localStorage.setItem('mode', '{theme}'); localStorage.setItem('theme', '{theme}')"
    )
    violations = []
    for name in pages:
        window.goto(f"{site}/{name}", wait_until="load")
        settle(window)
        assert window.evaluate("document.documentElement.dataset.theme") == theme
        violations += [(name, violation) for violation in what_axe_finds(window, "body", options)]
    window.close()
    assert violations == []


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


def rows(page):
    """The first letters of the rows that are to be seen."""
    cells = page.locator("tbody td:first-child:visible")
    return "".join(text[0] for text in cells.all_inner_texts())


def sort(page, by):
    page.get_by_role("button", name=by).press("Enter")
    page.wait_for_timeout(20)  # the library sorts on a timer of 1 ms


def test_a_table_is_searched_and_still_sorts(table):
    box, count = table.get_by_label("Find a model"), table.locator("output.found")
    sync_api.expect(count).to_have_text("4 rows")
    for typed, left in (("naif", "b"), ("CAT", "ac"), ("cat red", "a"), ("nothing", "")):
        box.fill(typed)
        sync_api.expect(count).to_have_text(f"{len(left)} of 4 rows")
        assert rows(table) == left
    box.fill("cat")
    sort(table, "ER (points)")
    sort(table, "ER (points)")
    assert rows(table) == "ca"


def test_rows_are_chosen_by_a_value_and_are_cards_on_a_phone(table):
    choice = table.get_by_label("verdict:")
    assert choice.locator("option").all_inner_texts() == [
        "all", "differs (1)", "reproduced (2)", "not measured (1)",
    ]  # fmt: skip
    choice.select_option("reproduced")
    assert rows(table) == "ac"
    table.get_by_label("Find a model").fill("red")
    sync_api.expect(table.locator("output.found")).to_have_text("1 of 4 rows")
    label = "(cell) => getComputedStyle(cell, '::before').content"
    cell, head = table.locator("tbody tr:visible td").nth(2), table.locator("thead")
    assert cell.evaluate(label) == "none" and head.is_visible()
    table.set_viewport_size(PHONE)
    assert cell.evaluate(label) == '"verdict"' and not head.is_visible()
    assert cell.get_attribute("role") == "cell"  # still, as a card


def test_a_link_unfolds_the_card_to_which_it_leads(browser, site):
    window = browser.new_page()
    window.goto(f"{site}/appendix/claims.html#claim-k-zero-shot")
    first, other = (window.locator(f"#claim-{name}") for name in ("k-zero-shot", "p-80"))
    opened, table = "(all) => all.map((one) => one.open)", "table"
    assert first.locator("details").evaluate_all(opened) == [True, True]
    assert other.locator("details").evaluate_all(opened) == [False, False]
    assert first.locator(table).is_visible() and not other.locator(table).is_visible()
    window.evaluate("location.hash = '#claim-p-80'")
    sync_api.expect(other.locator(table)).to_be_visible()
    window.reload()  # folded again, but for what the address names
    assert first.locator("details").evaluate_all(opened) == [False, False]
    window.emulate_media(media="print")
    assert first.locator(table).bounding_box()["height"] > 50
    window.close()


ADDRESSES = ("%", "a%b", "constructor=1", "toString=", "__proto__=", "hasOwnProperty=x")
KEPT = ('{"answers":null}', "[]", "null", '"text"', '{"answers":{"outlier-2":null}}', "{")


@pytest.mark.parametrize("name", ["guide/explore.html", "indicators.html"])
def test_no_address_and_no_kept_text_ends_a_script(browser, site, name):
    """The page has as many elements as without them."""
    counts, wrong = {}, []
    for address, kept in [("", ""), *((a, "") for a in ADDRESSES), *(("", k) for k in KEPT)]:
        context = browser.new_context()
        window = context.new_page()
        window.on("pageerror", lambda error: wrong.append(str(error)))
        script = f"localStorage.setItem('companion-answers', {json.dumps(kept)})"
        window.add_init_script(script if kept else "")
        window.goto(f"{site}/{name}#{address}", wait_until="load")
        counts[address, kept] = window.locator("button, svg *").count()
        context.close()
    assert not wrong and {*counts.values()} == {counts["", ""]} != {0}


def test_sorting_understands_signs_uncertainties_and_gaps(table):
    assert table.locator("th.numeric").all_inner_texts() == ["ER (points)"]  # no list
    for by, order, direction in (
        ("ER (points)", "abcd", "ascending"),
        ("ER (points)", "cbad", "descending"),  # what is not measured stays last
        ("Model", "abcd", "ascending"),
    ):
        sort(table, by)
        header = table.locator("th", has_text=by)
        assert (rows(table), header.get_attribute("aria-sort")) == (order, direction)


def test_on_a_phone_figures_fit_and_a_tap_opens_the_drawing(open_page, site):
    page = open_page(f"{site}/outlier_features.html", PHONE)
    drawings = page.locator("figure.companion-figure svg[role=img]:visible")
    assert drawings.count()
    for drawing in drawings.all():
        assert drawing.bounding_box()["width"] <= PHONE["width"]
    for frame in page.locator("figure.companion-figure > .companion-zoom").all():
        box = frame.bounding_box()
        assert box is None or (box["x"] >= 0 and box["x"] + box["width"] <= PHONE["width"])
    with page.context.expect_page() as opened:
        drawings.first.tap()
    svg = opened.value.locator("svg").first
    assert svg.evaluate("svg => svg.namespaceURI") == "http://www.w3.org/2000/svg"
    assert "var(" not in svg.evaluate("svg => svg.outerHTML")


def test_a_table_that_scrolls_shows_that_there_is_more_and_its_caption_stays(open_page, site):
    page = open_page(f"{site}/measuring_robustness.html", PHONE)
    edges = page.query_selector(".companion-edges.more-after:has(caption)")
    assert edges.evaluate("e => getComputedStyle(e, '::after').content") != "none"
    caption = edges.query_selector("caption")
    before = caption.bounding_box()
    assert before["width"] <= PHONE["width"]
    edges.evaluate("e => e.firstElementChild.scrollTo(e.firstElementChild.scrollWidth, 0)")
    page.wait_for_selector(".companion-edges.more-before:not(.more-after)", state="attached")
    assert abs(caption.bounding_box()["x"] - before["x"]) < 1


@pytest.fixture
def search(open_page, built_book):
    """What the book's search, opened from a file, lists of what is asked for, in one window."""
    pages = []

    def asked(words):
        address = f"{(built_book / 'search.html').as_uri()}?q={words}"
        if pages:
            pages[0].goto(address)
        else:
            pages.append(open_page(address, DESK))
        (page,) = pages
        page.get_by_text("Search finished").wait_for()
        links = page.locator("ul.search > li > a").evaluate_all(
            "all => all.map(a => a.getAttribute('href'))"
        )
        return page.locator("ul.search"), links

    return asked


def test_search_has_what_is_asked_for_among_the_first_three(search):
    wanted = cases("pages")["found_first"]
    found = {words: search(quote(words))[1][:3] for words in wanted}
    assert {words: links for words, links in found.items() if wanted[words] not in links} == {}


def test_the_contents_show_the_line_of_the_page_that_was_opened(open_page, site):
    page = open_page(f"{site}/introduction.html", DESK)
    page.goto(f"{site}/guide/operate.html")  # one of the last
    line = page.locator(".bd-sidebar-primary a.current").last.bounding_box()
    assert 0 < line["y"] < DESK["height"]


def test_a_term_shows_its_definition_to_mouse_keyboard_and_finger(open_page, site):
    """And buttons say of which exercise they show the solution."""
    page = open_page(f"{site}/outlier_features.html", DESK)
    page.get_by_role("button", name="Solution of outlier-2").wait_for()
    named = page.locator(".toggle-button").evaluate_all("all => all.map(b => b.ariaLabel)")
    assert len(named) == len({*named}) > 5
    tip, term = page.get_by_role("tooltip"), page.locator("article a:has(.std-term)").first
    term.hover()
    assert len(tip.inner_text().split()) > 5
    assert term.get_attribute("aria-describedby") == tip.get_attribute("id")
    page.keyboard.press("Escape")
    assert tip.count() == 0 or tip.is_hidden()
    term.focus()
    assert page.get_by_role("tooltip").is_visible()
    page.keyboard.press("Tab")
    at_another = page.evaluate("document.activeElement.matches('a:has(.std-term)')")
    assert page.get_by_role("tooltip").is_visible() == at_another
    page = open_page(f"{site}/outlier_features.html", PHONE)
    term = page.locator("article a:has(.std-term)").first
    term.tap()
    assert page.get_by_role("tooltip").is_visible() and "glossary" not in page.url
    term.tap()
    page.wait_for_url("**/appendix/glossary.html#*")


def test_each_term_has_a_definition_in_words(built_book):
    """Also where two terms share one; a box of text shows no formula."""
    links = re.compile(r'<a [^>]*href="[^"]*#(term-[\w-]+)"[^>]*>(?=<span class="[^"]*std-term)')
    title = re.compile(r' title="([^"]+)"')
    bad, seen = set(), 0
    for page in built_book.glob("*.html"):
        for link in links.finditer(page.read_text()):
            means, seen = title.search(link[0]), seen + 1
            if not means or "\\" in means[1]:
                bad.add((page.stem, link[1]))
    assert seen > 40 and not bad


def test_a_heading_shows_what_its_column_means_and_paper_and_phones_list_it(browser, site):
    page = browser.new_page(viewport=DESK)  # which no finger touches
    page.goto(f"{site}/outlier_features.html")
    page.locator("th button:has(abbr):visible").first.focus()
    assert len(page.get_by_role("tooltip").inner_text().split()) > 3
    listed = page.locator(".companion-columns:visible")
    assert listed.count() == 0
    page.emulate_media(media="print")
    assert listed.count()
    page.emulate_media(media="screen")
    page.set_viewport_size(PHONE)
    assert listed.count()
    page.close()


def test_search_marks_words_and_no_letters_within_others(search):
    listed, links = search("ViT-B-16")
    assert listed.locator("li:has(.excerpt mark)").count() > len(links) / 2
    kept = "localStorage.getItem('sphinx_highlight_terms')"  # what pages then mark
    assert listed.page.evaluate(kept) == "vit"


def test_search_shows_excerpts_from_a_file(search):
    listed, links = search("kurtosis")
    excerpts = listed.locator("li .excerpt")
    assert excerpts.count() >= len(links) - 2
    assert "kurtosis" in excerpts.first.inner_text().lower()
    assert "language model" in search("llm")[0].inner_text().lower()  # an abbreviation
