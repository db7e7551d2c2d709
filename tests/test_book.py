"""The book as `jupyter-book build book/` makes it: what is on its pages, and when it refuses."""

import importlib.util
import json
import re
import shutil
import zlib
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from conftest import (
    LEFT_OUT,
    ROOT,
    SUITE,
    build_book,
    cases,
    companion,
    make_project,
    programs,
    run_in,
    sphinx_build,
)

from companion.claims.counterparts import load_counterparts
from companion.claims.evidence import gather
from companion.claims.ledger import OUTCOMES, load_claims
from companion.claims.rules import judge_all
from companion.engine import policy, snapshot, style
from companion.engine.svg import THEME, inline_svg
from companion.runs.grid_jobs import NEEDED

TEXTS = cases("projects") | programs("projects")
#: Before the caption of what another page has shown.
REPEATED = re.compile(r"\(Repeated from <a [^>]*>.*?</a>\.\)")


def page(folder, name):
    return (folder / "book/_build/html" / f"{name}.html").read_text()


def numbers(folder):
    """Page → the numbers of its figures and tables, of all pages but those of what is missing."""
    html = folder / "book/_build/html"
    names = [path.relative_to(html).with_suffix("").as_posix() for path in html.rglob("*.html")]
    caption = re.compile('class="caption-number">([^<]*)<')
    return {n: caption.findall(page(folder, n)) for n in names if not n.endswith("not_measured")}


def text_of(folder, name):
    """A page's text, without its markup."""
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", "", page(folder, name)))


def test_no_text_becomes_html(tmp_path):
    """Whatever a family, a measurement or a file's name says, with the book's settings for MyST."""
    config = yaml.safe_load((ROOT / "book/_config.yml").read_text())
    enabled = config["parse"]["myst_enable_extensions"]
    disabled = config["sphinx"]["config"]["myst_disable_syntax"]
    assert config["sphinx"]["config"]["mathjax3_config"]["tex"]["packages"] == {"[-]": ["html"]}
    settings = {"myst_enable_extensions": enabled, "myst_disable_syntax": disabled}
    sphinx_build(tmp_path, {"index": cases("faults")["page"]}, **settings)
    body = (tmp_path / "html/index.html").read_text().split("<h1>")[1].split("</section")[0]
    assert body.count("script&gt;") >= 2
    assert not re.search(r'<(script|img|b)\b|href="(javascript|data)|<[^>]* on\w+=', body), body


ENTITIES = ("&lt;{}&gt;", "&#60;{}&#62;", "&#x3C;{}&#x3e;", "&amp;lt;{}&amp;gt;")


def test_no_entity_becomes_an_element(tmp_path):
    """The theme writes a page's title as it is, above the contents of a printed page."""
    element = "img src=x onerror=document.title='ran'"
    pages = {f"page{i}": f"# {entity.format(element)}\n" for i, entity in enumerate(ENTITIES)}
    toc = "```{toctree}\n:glob:\n\npage*\n```\n"
    theme = {"html_theme": "sphinx_book_theme", "html_context": {"default_mode": "auto"}}
    every = {"index": f"# {element}\n\n{toc}", **pages}
    sphinx_build(tmp_path, every, "companion.engine.sphinx.offline", **theme)
    for name in ("index", *pages, "search", "genindex"):
        html = (tmp_path / f"html/{name}.html").read_text()
        assert not re.search(r"<img[^>]*onerror", html), name
        assert name in ("search", "genindex") or "jb-print-docs-body" in html


def test_a_build_that_was_killed_leaves_no_search_index_of_old_words(tmp_path):
    settings = TEXTS["stoppable"].replace("ROOT", str(ROOT))
    (tmp_path / "conf.py").write_text(settings)
    statuses = []
    for text, stop in (("Aardvarks", False), ("Bumblebees", True), ("", False)):
        if text:
            (tmp_path / "index.rst").write_text(f"Title\n=====\n\n{text}.\n")
        (tmp_path / "stop").touch() if stop else (tmp_path / "stop").unlink(missing_ok=True)
        statuses.append(run_in(tmp_path, "sphinx", ".", "_build", "-q").returncode)
    assert statuses == [0, 9, 0]
    index = (tmp_path / "_build/searchindex.js").read_text()
    assert '"bumblebe": 0' in index and "aardvark" not in index


def test_every_run_with_evidence_is_in_the_book_and_nothing_else(clone):
    """What `companion status` calls up to date has a page or is shown; the rest stands together."""
    rows = json.loads(companion(clone, "status", "--json"))
    by_state = {}
    for row in rows:
        by_state.setdefault(row["state"], set()).add(f"{row['experiment']}/{row['family']}")
    assert {*by_state} == {"up to date", "not measured"}
    runs, html = clone / "book" / "runs", clone / "book/_build/html/runs"
    made = {p.relative_to(runs).with_suffix("").as_posix() for p in runs.rglob("*") if p.is_file()}
    pages = {p.relative_to(html).with_suffix("").as_posix() for p in html.rglob("*.html")}
    others = ("not_measured", "family", "status")
    assert {name for name in made if name.split("/")[0] not in others} == by_state["up to date"]
    assert pages <= made and not pages & by_state["not measured"]
    rows = re.findall("<tr.*?</tr>", page(clone, "runs/not_measured"), re.S)
    paragraphs = [re.findall("<p>(.*?)</p>", row, re.S) for row in rows]
    cells = [[re.sub("<.*?>", "", cell) for cell in row] for row in paragraphs]
    lacking = {row[0] for row in cells if row[1] == "RN101" and "companion extract rn101" in row[4]}
    assert lacking >= {"Concepts", "Pruning under shift", "Pruning"}
    assert "Concepts, direction by direction" not in lacking  # it shows the same evidence
    for family in ("rn50", "rn101", "vit_b_32", "vit_b_16", "vit_l_14"):
        assert page(clone, f"runs/effective_robustness/{family}").count("companion-figure") >= 2


def test_a_familys_page_leads_to_its_runs_and_a_runs_page_begins_with_what_was_found(clone):
    text = page(clone, "runs/family/vit_b_16")
    for name in ("effective_robustness", "outlier_features", "privileged_directions", "pruning"):
        assert f'href="../{name}/vit_b_16.html"' in text
    assert text.count('class="thumbnail"') >= 4
    text = page(clone, "runs/pruning/vit_b_16").split("<article")[1]
    figure, by_hand = text.index("companion-figure"), text.index("Gaussian numbers")
    code = text.index(">import</span>")
    assert figure < by_hand < text.index(">The code<") < code and "cell_input" not in text


def test_the_pages_say_what_was_measured(clone):
    live = all(map(importlib.util.find_spec, NEEDED))
    says = cases("pages")
    for name, texts in [*says["recorded"].items(), *(says["live"].items() if live else ())]:
        content = text_of(clone, name)
        assert [text for text in texts if text not in content] == [], name
    assert ("evidence: live" in text_of(clone, "concepts")) == live
    ledger = page(clone, "appendix/claims")
    outcomes = [verdict.outcome for verdict in judge_all(gather(), load_claims()).values()]
    for outcome in OUTCOMES:  # in the ledger and on the card
        count = ledger.count(f'verdict-{outcome.replace(" ", "-")}"')
        assert count == 2 * outcomes.count(outcome), outcome


def test_figures_have_one_plain_number_by_chapter_or_by_family(clone):
    by_page = numbers(clone)
    (chapter,) = {*re.findall(r"Table (\d+)\.", " ".join(by_page["measuring_robustness"]))}
    shown = {f"{kind} {chapter}.1 " for kind in ("Fig.", "Table")}
    assert shown <= {*by_page["measuring_robustness"]}
    assert REPEATED.search(page(clone, "guide/lab_sheet"))
    assert {"Fig. R1.1 ", "Table R1.1 "} <= {*by_page["runs/effective_robustness/rn50"]}
    every = [number for of_page in by_page.values() for number in of_page]
    again = sum(len(REPEATED.findall(page(clone, name))) for name in by_page)
    assert len(every) - again == len({*every}) > 150
    plain = r"(?:Fig\.|Table|Listing) (?:[A-Z]?\d+|[A-Z])(?:\.\d+)? "
    assert all(re.fullmatch(plain, number) for number in every)


def test_below_each_figure_and_table_stand_its_data_its_citation_and_its_code(clone):
    for name in ("measuring_robustness", "outlier_features", "runs/effective_robustness/rn50"):
        text = page(clone, name)
        menus = re.findall(r'<div class="companion-menu docutils.*?</div>', text, re.DOTALL)
        assert len(menus) == len(numbers(clone)[name])
        assert all("</details>" in menu and 'csv">CSV</a>' in menu for menu in menus)
        assert sum('.svg">SVG</a>' in m for m in menus) == text.count('"companion-figure')
        assert sum(menu.count('href="') for menu in menus) >= 3 * len(menus)
    folder = clone / "book/_build/html/results/measuring_robustness/paper"
    rows = (folder / "table-1.csv").read_text().splitlines()
    assert rows[0] == "backbone,pretraining set,zero-shot,finetuned,supervised"
    assert rows[2] == "RN50,YFCC-15M,+6.2 ± 0.3,not published,−3.4 ± 0.4" and len(rows) == 17
    points = (folder / "figure-1.csv").read_text()
    assert '\n"ViT-L/14, OpenAI WIT-400M",zero_shot,zero-shot,filled,75.' in points
    assert "<title>Scatter plot" in (folder / "figure-1.svg").read_text()
    cited = (folder / "figure-1.bib").read_text()
    assert re.match(r"@misc\{companion-measuring_robustness-paper-figure-1-[0-9a-f]{8},\n", cited)
    assert "Figure measuring\\_robustness/paper\\#figure-1 in: Interpreting CLIP" in cited


def test_the_paper_stands_beside_this_book_and_results_lead_back(clone):
    assert 'href="appendix/paper.html"' in page(clone, "index")
    text = page(clone, "appendix/paper")
    boxes = re.findall(r'<div class="counterpart docutils.*?<p class="files">', text, re.DOTALL)
    items = load_counterparts()
    shown = [of for item in items.values() for of in item.counterparts]
    # Without PyTorch the lab's models are not measured.
    least = len(shown) - ("extract" in LEFT_OUT) * sum(of.miniature for of in shown)
    assert least <= len(boxes) <= len(shown)
    for item in items.values():
        assert f'id="paper-{item.id}"' in text
    assert sum(box.count('href="') for box in boxes) > 30
    assert 'ER-range</span></a> <span class="verdict-reproduced">' in text
    back = re.findall(r'href="([^"]*#(?:paper|claim)-[^"]*)"', page(clone, "measuring_robustness"))
    assert "appendix/paper.html#paper-figure-1" in back and len(back) > 8
    ledger = page(clone, "appendix/claims")
    for claim in load_claims():
        assert ledger.count(f'href="#claim-{claim.lower()}"') >= 1, claim
    assert "href=" in ledger.split('class="claim-card')[1]


def test_every_number_is_the_one_that_is_kept(clone):
    """`make snapshot` keeps others; its diff shows which, and the commit says why each moved."""
    if "extract" in LEFT_OUT:
        pytest.skip("without PyTorch nothing live is there")
    found = snapshot.differences(clone / "book/runs")
    print("Not kept yet:", *[each for each in found if not each.fault], sep="\n")
    faults = [str(each) for each in found if each.fault]
    assert faults == [], "\n".join(["", *faults])


def test_every_guarded_sentence_holds(clone):
    """Of what is measured while the book is built, too, which only marks a page."""
    runs = {path: path.read_text() for path in (clone / "book/runs").rglob("*.ipynb")}
    assert len(runs) > 60
    assert not [path for path, text in runs.items() if '"not-so"' in text]


def test_no_link_leads_nowhere(clone):
    """To no file of the book, or to no anchor in it; the explorer's hold what is chosen there."""
    html = clone / "book/_build/html"
    pages = [path for path in html.rglob("*.html") if "_static" not in path.parts]
    texts = {path: path.read_text() for path in pages}
    named = re.compile(r'\b(?:id|name)="([^"]+)"')
    anchors = {path: {*named.findall(text)} for path, text in texts.items()}
    anchors.pop(html / "guide/explore.html")
    for path, text in texts.items():
        for link in {*re.findall(r'\bhref="([^"]+)"', text)}:
            parts = urlsplit(link)
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchored = not parts.fragment or parts.fragment in anchors.get(target, {parts.fragment})
            assert parts.scheme or (target.is_file() and anchored), (path.name, link)


# A small book: what changes on its pages, and what stops it

SHOWN, TOLD = TEXTS["shown"], TEXTS["told"]
PAGES = ("index", "guide/contribute", "guide/your_checkpoint", "guide/train", "appendix/models")


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A built book of one chapter, with pages of two families, and a third that has none."""
    folder = make_project(
        tmp_path_factory.mktemp("small") / "a book",
        families=dict.fromkeys(("rn50", "rn101", "vit_b_32")),
        notebooks={"shown": SHOWN, "told": TOLD},
        files={f"book/{name}.md": "# A page\n" for name in PAGES} | TEXTS["files"],
        data=SUITE["of_a_book"],
    )
    built = build_book(folder)
    assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-3000:]
    return folder


@pytest.fixture
def small(kept, tmp_path):
    """It again, to change."""
    return shutil.copytree(kept, tmp_path / "a book", symlinks=True)


def test_a_small_books_pages_follow_its_runs_and_its_families(small):
    """One build for three changes: a claim's text, a family that goes, a reader's that comes."""
    before = numbers(small)
    assert before["chapter"] == ["Table 1.1 "]
    assert before["runs/shown/vit_b_32"] == ["Table R3.1 "]
    (small / "data/claim.txt").write_text("A new claim.")
    (small / "families/rn50.yaml").unlink()
    family = (small / "families/rn101.yaml").read_text().replace("rn101", "mine")
    hostile = "'My backbone\" autofocus onfocus=\"P'"
    mine = family.replace('"RN101"', hostile).replace("edition: paper", "edition: reader")
    (small / "families/mine.yaml").write_text(mine)
    built = build_book(small)
    assert built.returncode == 0, built.stderr[-2000:]
    after = numbers(small)
    assert {*before} - {*after} == {"runs/shown/rn50", "runs/family/rn50"}
    assert after == {name: before[name] for name in after}
    text = page(small, "chapter")
    assert "A new claim." in text and "An old claim." not in text
    mark = "It says: A new claim. [“two is more” does not hold of these numbers]"
    assert mark in text_of(small, "chapter")
    assert "My backbone" in text and ">RN50<" not in text
    assert "runs/shown/rn50" not in page(small, "index")
    assert 'href="../shown/vit_b_32.html"' in page(small, "runs/family/vit_b_32")
    missing = text_of(small, "runs/not_measured")
    assert "My backbone" in missing and "companion extract mine --data FOLDER" in missing
    # What a run that is not there would show leads to what is said instead.
    assert "In this build there is nothing to show here" in text
    assert 'href="runs/not_measured.html"' in text
    assert not (small / "book/_build/html/runs/shown/rn101.html").exists()
    assert "companion extract rn101 --data FOLDER" in missing
    html = small / "book/_build/html"
    texts = zlib.crc32((html / "searchtexts.js").read_bytes())  # these, not those of the last build
    assert f"searchtexts.js?v={texts:08x}" in page(small, "search")
    for path in (path for path in html.rglob("*.html") if "_static" not in path.parts):
        check_what_runs(path.read_text())


class Parts(HTMLParser):
    """The scripts that stand in a page, the attributes that run something, the policy."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.handlers, self.policies, self.before = [], [], [], []
        self.feed(text)

    def handle_starttag(self, name, attributes):
        given = dict(attributes)
        self.handlers += [(key, value) for key, value in attributes if key.startswith("on")]
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policies.append(given["content"])
        if name == "script" and "src" not in given and given.get("type") != "application/json":
            self.before.append(len(self.policies))
            self.scripts.append("")

    def handle_data(self, text):
        if self.cdata_elem == "script" and self.scripts and not self.scripts[-1]:
            self.scripts[-1] = text


def check_what_runs(text):
    """The policy stands before all scripts, names each by its hash, and there is nothing else."""
    page = Parts(text)
    assert {*page.handlers} <= {("onclick", "window.print()")}, page.handlers
    assert len(page.policies) == 1 and {*page.before} == {1}
    rules = dict(rule.split(" ", 1) for rule in page.policies[0].split("; "))
    assert "'unsafe-inline'" not in rules["script-src"] and rules["default-src"] == "'none'"
    assert all(policy.hash_of_script(script) in rules["script-src"] for script in page.scripts)


def test_a_build_reads_what_has_changed_and_nothing_else(kept, small):
    """Nothing where nothing has; every page where the code that makes the pages has."""
    again = build_book(kept)
    assert "0 added, 0 changed, 0 removed" in again.stdout and "no targets are" in again.stdout
    for name in ("companion/engine/sphinx/cite.py", "book/_extensions/companion_paper.py"):
        with (small / name).open("a") as file:
            file.write("\nCHANGED = 1\n")
        built = build_book(small).stdout
    assert "[config changed ('companion_code')]" in built  # the first time its path was new, too


def test_a_failing_notebook_stops_the_book(small):
    notebook = small / "notebooks/shown.py"
    failing = SHOWN.replace("known =", 'assert family != "rn50", "not today"\nknown =')
    notebook.write_text(failing)
    shutil.rmtree(small / "book/_build")
    built = build_book(small)
    assert built.returncode != 0
    message = "notebook shown failed for family rn50 in cell 3: AssertionError: not today"
    assert message in built.stderr
    assert re.search(r"\b1 of 3 runs failed, so no book is built", built.stderr)
    assert "Traceback" not in built.stderr
    assert not (small / "book/_build/html/index.html").exists()


def test_a_false_sentence_about_recorded_numbers_is_marked_and_ends_with_an_error(small):
    """The book is whole all the same; so are the runs, by themselves."""
    notebook = small / "notebooks/told.py"
    notebook.write_text(TOLD.replace('is more", "live"', 'is more", "recorded"'))
    built = build_book(small)
    assert built.returncode != 0
    says = "told/paper: the book says “two is more”, which does not hold of these numbers"
    assert says in built.stderr
    assert "[“two is more” does not hold of these numbers]" in text_of(small, "chapter")
    done = run_in(small, "companion.cli.main", "build", "--runs")
    assert done.returncode == 1 and says in done.stderr


def test_a_reference_to_a_result_that_is_not_there_stops_the_book(small):
    with (small / "book/chapter.md").open("a") as file:
        file.write("\n```{result} told/paper#cliam\n```\n")
    built = build_book(small)
    assert built.returncode != 0
    assert "run told/paper has no result 'cliam'; it has ['claim', 'models']" in built.stderr


@pytest.mark.slow
def test_a_broken_measurement_stops_no_book(small):
    """Its run lacks what needs it and what follows from that; pages say so, and numbers stay.

    And a table without rows, as where all files of an experiment are deleted.
    """
    path = small / "data/measurements/pruning/rn50-openai--<i>.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    (small / "notebooks/told.py").write_text(TEXTS["told_with_measurements"])
    toc = small / "book/_toc.yml"
    with_told = toc.read_text().replace("shown/*", "shown/*\n    - file: runs/told/paper")
    toc.write_text(with_told)
    with (small / "book/chapter.md").open("a") as file:
        file.write(
            "\nThat is {result}`told/paper#after` See {numref}`told-paper-of-models`."
            "\n\n```{result} told/paper#of-models\n```\n\n```{result} told/paper#empty\n```\n"
            "\nOf nothing: {numref}`told-paper-empty`.\n"
        )
    built = build_book(small)
    assert built.returncode == 0, built.stderr[-2000:]
    why = "told/paper is without its results: rn50-openai--"
    assert why in built.stderr
    text = text_of(small, "chapter")
    assert "An old claim." not in text and "That is not measured in this build" in text
    assert "Of nothing: Table 1.3" in text and "not measured in this build" in text
    assert "See Table 1.2" in text and "&lt;i&gt;.json cannot be read as JSON" in text
    assert "&lt;i&gt;.json cannot be read as JSON" in text_of(small, "runs/told/paper")


def test_inline_svgs_are_named_themed_and_keep_their_ids_apart():
    svg = '<?xml?>\n<svg width="5pt" height="5pt"><metadata>x</metadata><defs><path id="m1" '
    svg += 'style="fill: #1f2328"/></defs><use xlink:href="#m1" clip-path="url(#m1)"/></svg>'
    inlined = inline_svg(svg, 'A "line" & more')
    assert 'role="img" aria-label="A &quot;line&quot; &amp; more"' in inlined
    assert "fill:var(--companion-ink)" in inlined
    assert "metadata" not in inlined and "5pt" not in inlined
    (name,) = set(re.findall(r'id="([^"]+)"', inlined))
    assert name != "m1"
    assert f'href="#{name}"' in inlined and f"url(#{name})" in inlined
    assert set(THEME) == {style.INK, style.MUTED, style.GRID, style.PAPER}


@pytest.mark.parametrize(("more", "paths"), [("", 1), ("; stroke-opacity: 0.5", 3)])
def test_opaque_lines_that_are_drawn_alike_become_one_path(more, paths):
    rest = f'style="fill: none; stroke: #009e73{more}"'
    lines = "\n ".join(f'<path d="M {x} 1.005\nL {x} 9\n" {rest}/>' for x in range(3))
    inlined = inline_svg(f'<svg viewBox="0 0 9 9">\n {lines}\n</svg>', "Lines")
    assert (
        inlined.count("<path") == inlined.count(rest.replace(": ", ":").replace("; ", ";")) == paths
    )
    assert "".join(re.findall(r'd="(M[^"]*)"', inlined)) == "M0 1V9M1 1V9M2 1V9"


@pytest.mark.parametrize(("more", "groups"), [("fill-opacity: 0.6", 1), ("opacity: 0.6", 3)])
def test_marks_that_look_alike_have_one_group_and_keep_their_tooltips(more, groups):
    look = f'style="fill: #009e73; {more}"'
    marks = "".join(
        f'<g id="mark_{n}"><g><title> id="axes_{n}"</title>'
        f'<g clip-path="url(#c)"><use xlink:href="#m" x="{n}" y="1" {look}/></g></g></g>'
        for n in range(3)
    )
    inlined = inline_svg(f'<svg viewBox="0 0 9 9"><g id="a">\n{marks}\n</g></svg>', "Marks")
    assert inlined.count("clip-path") == inlined.count("fill:#009e73") == groups
    assert re.findall("<title>(.*?)</title>", inlined) == [f' id="axes_{n}"' for n in range(3)]
    assert re.findall(r'<use [^>]*x="(\d)"', inlined) == ["0", "1", "2"]
    assert inlined.count("<g") == inlined.count("</g>") and "mark_" not in inlined


def test_no_page_of_a_run_has_words_for_another_edition_or_an_empty_section(clone):
    for path in (clone / "book/_build/html/runs").rglob("*.html"):
        text = path.read_text()
        article = text.split("<article")[1].split("</article>")[0]
        for section in article.split("<h2>")[1:]:
            assert len(re.sub(r"<details.*?</details>|<[^>]+>", "", section, flags=re.S)) > 60, path
        paper = path.stem not in ("pocket_cnn", "pocket_vit", "not_measured")
        if path.parent.name == "effective_robustness":
            other = "In the pocket lab" if paper else "ImageNet-A"
            words = re.sub(r"<details.*?</details>|<[^>]+>", "", article, flags=re.S)
            assert other not in re.sub(r"\s+", " ", words), path
