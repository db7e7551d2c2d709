"""What can be taken from the book's pages: notebooks with their data, and the whole as a PDF."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pikepdf
import pytest
import yaml
from conftest import ROOT, build_book, run_in, sphinx_build
from sphinx.errors import SphinxParallelError

from analysis.base.texts import CompanionError
from companion.engine import course, pdf
from companion.engine.labels import line_in_source
from companion.engine.sphinx import cite, contents, pages, result, runs, weight

BROWSER = pytest.mark.skipif(
    not any(map(pdf.shutil.which, pdf.BROWSERS)), reason="Chromium is not installed"
)


def test_a_result_is_found_of_a_family_of_any_name():
    """As `companion add` takes it, and `companion rerun` makes it of a checkpoint's."""
    reference = "outlier_features/vit-b-32-xl_s13b.2#kurtosis"
    with pytest.raises(result.ResultError, match="no run outlier_features/vit-b-32-xl"):
        result.find_result(reference)


def test_a_chapter_repeats_once_what_is_said_of_a_run_that_it_shows(tmp_path, monkeypatch):
    """As of recorded measurements of an earlier version; the run's own page ends with it anyway."""
    metadata = {"companion": {"kind": "table", "label": "models"}}
    cells = [
        {"cell_type": "code", "outputs": [{"data": {}, "metadata": metadata}]},
        {"cell_type": "markdown", "source": "Older code"},
    ]
    (tmp_path / "told").mkdir()
    for name, shown in (("old", cells), ("new", cells[:1])):
        notebook = {"cells": shown, "metadata": {"companion": {}}}
        (tmp_path / f"told/{name}.ipynb").write_text(json.dumps(notebook))
    monkeypatch.setattr(result, "RUNS", tmp_path)

    class Directive(result.ResultDirective):
        env = SimpleNamespace(docname="chapter", temp_data={})

        def __init__(self):
            pass

        def parse_text_to_nodes(self, text, **_):
            return [text]

    old, new = (result.find_result(f"told/{name}#models") for name in ("old", "new"))
    said = [Directive().closing(f"told/{of}", r) for of, r in 2 * [("old", old), ("new", new)]]
    assert said == [["Older code"], [], [], []]
    Directive.env = SimpleNamespace(docname="runs/told/old", temp_data={})
    assert Directive().closing("told/old", old) == []


def test_pages_of_functions_show_no_markup(built_book):
    for page in sorted((built_book / "appendix").glob("api_*.html")):
        text = re.sub(r"<[^>]+>", "", page.read_text())
        markup = re.findall(r"model_config|~\w+\.|(?<!\*)\*\w+\*(?!\*)", text)
        assert (page.name, markup) == (page.name, [])


def test_a_chapters_download_is_its_teaching_notebook_with_its_data(built_book):
    text = (built_book / "outlier_features.html").read_text()
    assert 'href="_downloads/teach/outlier_features.zip"' in text
    assert 'href="_sources/outlier_features.md"' not in text and "colab" not in text.lower()
    for name in course.names():
        with zipfile.ZipFile(built_book / f"_downloads/teach/{name}.zip") as archive:
            files = {path: archive.read(path) for path in archive.namelist()}
        assert files == course.files(name) and f"{name}_solved.ipynb" in files
        for path in files:
            assert (built_book / "_downloads/teach" / path).is_file()
    for chapter in ("measuring_robustness", "what_kurtosis_measures"):
        page = (built_book / f"{chapter}.html").read_text()
        assert 'href="_downloads/teach/' in page and "_blanks.ipynb" in page


def test_a_runs_download_says_what_it_needs_and_runs_in_any_folder(clone, built_book, tmp_path):
    path = built_book / "_sources/runs/outlier_features/rn101.ipynb"
    cells = json.loads(path.read_text())["cells"]
    assert "pip install -e '.[teach]'" in cells[0]["source"]
    assert "COMPANION_ROOT" in cells[0]["source"]
    assert not any("{doc}" in "".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    code = ["".join(c["source"]) for c in cells if c["cell_type"] == "code"]
    where = "from analysis.base.roots import ROOT\nprint(ROOT)"
    (tmp_path / "all.py").write_text("\n".join([*code, where]))
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"MPLBACKEND": "agg"}
    kept = {"text": True, "capture_output": True, "env": env | {"COMPANION_ROOT": str(clone)}}
    done = subprocess.run([sys.executable, "all.py"], cwd=tmp_path, **kept)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == str(clone)


NESTED = {
    "index": "# Book\n\n```{toctree}\n:caption: One\na\npart/b\n```\n\n"
    "```{toctree}\n:caption: Two\nd\n```\n",
    "a": "# 1. A & *b*\n\n## Below\n",
    "part/b": "# B\n\n```{toctree}\ndeep/c\n/e\nOutside <https://example.org/>\n```\n",
    "part/deep/c": "# C\n\n```{toctree}\n/f\n```\n",
    **{name: f"# {name}\n" for name in "def"},
}


def test_contents_made_once_are_on_each_page_what_the_theme_makes(tmp_path, monkeypatch):
    """Of pages at all depths, and of the search page, which the contents do not have."""

    def of_the_theme(app, name, template, context, doctree):
        generate = context["generate_toctree_html"]

        def named(*given, **options):
            contents.name_toggles(made := generate(*given, **options))
            for item in made.select("li.toctree-l2:has(> details)"):
                if not item.select("a.current"):  # the third level is left to the pages around it
                    item.details.extract()
                    item["class"].remove("has-children")
            contents.fold(made)
            parts = made.select("details.companion-part")
            here = [part for part in parts if part.select("a.current")]
            for part in here or parts[:1]:
                part["open"] = "open"
            return made

        context["generate_toctree_html"] = named

    theirs = ModuleType("contents_of_the_theme")
    theirs.setup = lambda app: app.connect("html-page-context", of_the_theme, priority=900) and {}
    monkeypatch.setitem(sys.modules, theirs.__name__, theirs)
    menus = []
    for extension in theirs.__name__, contents.__name__:
        folder = tmp_path / extension
        sphinx_build(folder, NESTED, extension, html_theme="sphinx_book_theme")
        texts = {
            path.relative_to(folder / "html").as_posix(): path.read_text()
            for path in folder.rglob("*.html")
        }
        menus.append({name: text.split("</nav>")[0] for name, text in texts.items()})
    first, second = menus
    assert {"search.html", "index.html", "part/deep/c.html", "f.html"} <= first.keys()
    assert first == second
    assert 'aria-label="Pages below B"' in first["a.html"]
    assert first["f.html"].count('<details open="open">') == 2
    assert first["f.html"].count('<details class="companion-part" open="open">') == 1
    assert ">f</a>" in first["part/deep/c.html"] and ">f</a>" not in first["e.html"]


def test_a_page_loads_no_formulas_search_or_icons_that_it_does_not_show(tmp_path):
    texts = {"index": "# Start\n\n```{toctree}\na\nb\n```\n"}
    texts |= {"a": "# A\n\n{math}`x`\n", "b": "# B\n"}
    settings = {"html_theme": "sphinx_book_theme", "html_math_renderer": "mathjax"}
    settings["mathjax_path"] = "formulas.js"
    sphinx_build(tmp_path, texts, "sphinx.ext.mathjax", weight.__name__, **settings)
    html = tmp_path / "html"
    loads = {
        name: re.findall(r'<script[^>]* src="[^"]*?([\w-]+)\.js', text)
        for name in ("index", "a", "b", "search")
        for text in [(html / f"{name}.html").read_text()]
    }
    assert [name for name, scripts in loads.items() if "formulas" in scripts] == ["a"]
    assert [name for name, scripts in loads.items() if "searchindex" in scripts] == ["search"]
    assert all("fontawesome" in scripts for scripts in loads.values())
    icons = (html / "_static/scripts/fontawesome.js").read_text()
    assert len(icons) < 100_000 and '"magnifying-glass":[' in icons and '"dragon":[' not in icons
    assert icons.count("{") == icons.count("}")


def test_the_line_of_a_result_is_found_in_its_notebook():
    source = 'import a\n\n# "kept"\na.table(\n    "kept", rows)\na.text(f"of-{name}-told", "x")\n'
    lines = [line_in_source(source, label) for label in ("kept", "of-rn50-told", "none")]
    assert lines == [5, 6, 0]
    assert cite.code_place("pruning/rn50#kept").startswith("results/pruning.html#L")
    (line,) = re.findall(r"#L(\d+)", cite.code_place("pruning/rn50#kept"))
    text = (ROOT / "notebooks/pruning.py").read_text().split("\n")
    assert '"kept"' in text[int(line) - 1]


def test_badges_appear_with_a_repository_and_load_nothing():
    def offered(url):
        app = SimpleNamespace(config=SimpleNamespace(html_theme_options={"repository_url": url}))
        group = {"label": "download-buttons", "buttons": []}
        context = {"header_buttons": [group], "pathto": lambda path, _: path}
        pages.offer_downloads(app, "pruning", "", context, None)
        return [button["url"] for button in group["buttons"]]

    of_book = ["_downloads/teach/pruning.zip", "_downloads/teach/pruning_blanks.ipynb"]
    assert offered("") == offered("https://example.org/a/b") == of_book
    *_, colab, binder = offered("https://github.com/someone/the-book/")
    file = "pruning_blanks.ipynb"
    assert colab.endswith(f".google.com/github/someone/the-book/blob/teach/{file}")
    assert binder.endswith(f".org/v2/gh/someone/the-book/teach?urlpath=lab/tree/{file}")


def addresses(read):
    """Where the links of a PDF lead that leave it."""
    links = [link for page in read.pages for link in page.get("/Annots", [])]
    return [str(link.A.URI) for link in links if "/A" in link and "/URI" in link.A]


@BROWSER
def test_a_printed_page_is_tagged_and_keeps_links_and_vectors(tmp_path):
    made = pdf.print_page(ROOT / "tests/cases/printed.html", tmp_path / "page.pdf")
    with pikepdf.open(made) as read:
        assert read.Root.MarkInfo.Marked and len(read.pages) == 1
        assert "/StructTreeRoot" in read.Root and "/XObject" not in read.pages[0].Resources
        assert addresses(read) == ["https://example.org/"]
    with pytest.raises(CompanionError, match=r"Chromium could not print none\.html: "):
        pdf.print_page(tmp_path / "none.html", tmp_path / "none.pdf")
    assert not (tmp_path / "none.pdf").exists()


SINGLE = """<head></head><article><section id="book"><h1>The book</h1>
<a href="index.html#two">two</a>
<div><span id="document-two"></span><section id="two"><h2>Two</h2></section>
<span id="document-runs/a"></span><section id="run"><h2>A run</h2>
<span id="document-runs/b"></span><section id="b"><h3>B</h3></section></section>
<span id="document-runs/not_measured"></span><section id="not"><span id="gaps"></span>
<h2>Not</h2><p>Here</p></section></div></section></article>"""


@BROWSER
def test_what_is_not_printed_does_not_show(tmp_path):
    from playwright.sync_api import sync_playwright

    (page := tmp_path / "index.html").write_text(SINGLE)
    first = Path(shutil.copy(pdf.shortened(page), tmp_path / "first.html"))
    made = [first, pdf.shortened(page, {"two"}), pdf.alone(page, "gaps")]
    shown = []
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        window = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"]).new_page()
        for one in made:
            window.goto(one.as_uri())
            shown.append(window.inner_text("body").split("\n"))
            shown[-1] = " ".join(filter(None, shown[-1]))
    assert shown == ["The book two Two Not Here", "The book two Not Here", "Not Here"]
    assert 'href="#two"' in made[0].read_text() and page.read_text() == SINGLE
    with pytest.raises(CompanionError, match=r"index\.html has no section 'gone' to print"):
        pdf.alone(page, "gone")


def test_pages_for_those_who_build_the_book_are_not_printed():
    contents = yaml.safe_load((ROOT / "book/_toc.yml").read_text())
    names = pdf.of_part(contents, pdf.wanted().without)
    assert {"appendix/house", "guide/contribute", "appendix/api_metrics"} <= names
    chapters = {chapter["file"] for part in contents["parts"][:4] for chapter in part["chapters"]}
    assert len(chapters) > 20 and not chapters & names


def test_a_script_that_changed_is_copied_where_no_page_has(tmp_path):
    """With its checksum in the addresses of pages; without a change no page is written."""
    own = tmp_path / "source/_own/tool.js"
    own.parent.mkdir(parents=True)
    settings = {"html_static_path": ["_own"], "html_js_files": ["tool.js"]}
    seen = []
    for text in ("let a = 1", "let a = 1", "let a = 2"):
        own.write_text(text)
        app, warned = sphinx_build(
            tmp_path, {"index": "# A page\n"}, "companion.engine.sphinx.offline", **settings
        )
        assert warned == ""
        written = vars(app).get("companion_written", set())
        seen.append(((tmp_path / "html/_static/tool.js").read_text(), "index" in written))
    assert seen == [("let a = 1", True), ("let a = 1", False), ("let a = 2", True)]


@pytest.mark.slow
def test_one_process_writes_the_pages_that_two_write(clone, tmp_path, monkeypatch):
    monkeypatch.setenv("COMPANION_JOBS", "1")
    assert build_book(clone, "--path-output", str(tmp_path)).returncode == 0
    books = tmp_path / "_build/html", clone / "book/_build/html"
    one, two = (
        {path.relative_to(book): path.read_bytes() for path in book.rglob("*") if path.is_file()}
        for book in books
    )
    assert len(one) > 1000 and one.keys() == two.keys()
    assert [name for name in one if one[name] != two[name]] == []


@BROWSER
@pytest.mark.slow
def test_the_whole_book_is_one_pdf(clone):
    made = run_in(clone, "companion.engine.pdf")
    assert made.returncode == 0, made.stderr[-2000:]
    six = clone / "book/_build/pdf/six-pages.pdf"
    with pikepdf.open(six) as read:
        assert 4 <= len(read.pages) <= 6
    path = clone / "book/_build/pdf/interpreting-clip-companion.pdf"
    assert path.stat().st_size < 30e6
    with pikepdf.open(path) as read:
        assert 100 < len(read.pages) <= 300 and "/Outlines" in read.Root
        assert read.Root.MarkInfo.Marked
        links = addresses(read)
    assert len(links) > 50 and all(link.startswith(("https:", "http:")) for link in links)
    for builder in ("latex", "pdfhtml"):
        before = (clone / "book/_build/html/index.html").read_bytes()
        stopped = build_book(clone, "--builder", builder)
        assert stopped.returncode != 0 and "`make pdf` makes a PDF of it." in stopped.stderr
        assert (clone / "book/_build/html/index.html").read_bytes() == before


def test_what_changed_under_a_clock_that_was_set_back_is_read_again(tmp_path):
    """Sphinx alone goes by what is newer than its last reading: the page would stay as it was."""
    pages = {"index": "# A page\n\n```{include} shown.txt\n```\n", "other": "# Another\n"}
    (tmp_path / "source").mkdir()
    (tmp_path / "source/shown.txt").write_text("text")
    app, _ = sphinx_build(tmp_path, pages)
    runs.note_files(app, app.env)
    assert runs.find_altered(app, app.env) == []
    for place, changed in (("shown.txt", "index"), ("other.md", "other")):
        path = tmp_path / "source" / place
        path.write_text("# Older\n")
        os.utime(path, (10**9, 10**9))
        assert runs.find_altered(app, app.env) == [changed]
        runs.note_files(app, app.env)


@pytest.mark.parametrize("parallel", [False, True])
def test_a_full_disk_ends_a_build_with_one_sentence(parallel, tmp_path, capsys):
    """Whichever process met it; jupyter-book would print a traceback of its own below an error."""
    refused = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a page.html")

    def fill(*_):
        raise SphinxParallelError(f"OSError: {refused}", "") if parallel else refused

    app, _ = sphinx_build(tmp_path, {"index": "# A page\n"})
    app.connect("env-updated", fill)
    app.connect("build-finished", runs.end_where_the_disk_refuses)
    with pytest.raises(SystemExit) as ended:
        app.build(force_all=True)
    said = "The book: No space left on device (a page.html): free some space and call again"
    assert str(ended.value).startswith(said)
    try:
        raise RuntimeError("an error in building your book") from ended.value.__context__
    except RuntimeError as error:
        runs.say_what_the_disk_refuses(RuntimeError, error, None)
    assert capsys.readouterr().err.startswith(said)
    assert runs.refusal(ValueError("[Errno 28] No space")) == ""
    assert runs.refusal(FileNotFoundError(errno.ENOENT, "none")) == ""
