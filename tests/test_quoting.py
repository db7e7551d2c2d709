"""Texts that anyone may have written become part of a page in one place, which escapes them."""

import ast
import html
import re
from html.parser import HTMLParser

import pytest
from conftest import ROOT, cases, sphinx_build

from analysis.base.quoting import Html, as_markdown, in_a_row, in_html, tag
from companion.engine import policy, slides
from companion.engine.style import items
from companion.engine.svg import explorer

TEXTS = cases("faults")["texts"]
WRITERS = [
    *ROOT.glob("book/_extensions/*.py"),
    *(path for room in ("analysis", "companion", "data") for path in ROOT.rglob(f"{room}/**/*.py")),
]


@pytest.mark.parametrize("way", TEXTS)
def test_a_text_is_neither_an_element_nor_an_attribute(way):
    text, seen = TEXTS[way], []

    class Reader(HTMLParser):
        def handle_starttag(self, name, attributes):
            seen.append((name, dict(attributes)))

        def handle_data(self, data):
            seen.append(data)

    Reader().feed(tag("a", text, href=text, aria_label=None, class_="x"))
    assert seen == [("a", {"href": text, "class": "x"}), text]
    assert in_a_row(text, Html("<b>")) == in_html(text) + "<b>" and in_html(Html("<b>")) == "<b>"


def test_no_pattern_puts_a_group_into_an_attribute():
    """Of HTML that is there, a quote needs no escape in a text, but does in an attribute."""
    group = re.compile(r"""=\\?["'][^"']*\\(?:[1-9]|g<)""")
    found = [
        (path.name, node.value)
        for path in WRITERS
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if group.search(node.value)
    ]
    assert not found and group.search(r'\1 aria-label="Pages below \2"')


def test_nothing_else_escapes():
    """So that no writer of HTML has a way of its own."""
    own = [path.name for path in WRITERS if re.search(r"\bhtml\.escape\(", path.read_text())]
    assert own == ["quoting.py"]


def rules(element):
    content = html.unescape(re.search('Policy" content="([^"]*)"', element)[1])
    return {name: sources for name, *sources in (rule.split() for rule in content.split("; "))}


BLOCKS = ["1. a", "12) a", "# a", "~~~ a", "::: a", "% a", "(a)=", "- a", "+ a", "    a", "a\n==="]
BLOCKS += ["a\n---", "___", "> a", ": a", "a\n\n    a"]


@pytest.mark.parametrize("text", BLOCKS)
def test_a_text_is_a_paragraph_as_it_stands(text, tmp_path):
    """As the page of a family shows its description, and lists what is missing."""
    _, warnings = sphinx_build(
        tmp_path, {"index": f"# T\n\n{as_markdown(text)}\n\nThe end."}, smartquotes=False
    )
    body = (tmp_path / "html/index.html").read_text().split("</h1>")[1].split("</section>")[0]
    shown = html.unescape(re.sub("<[^>]*>", "", body)).split()
    assert shown == [*text.split(), "The", "end."] and warnings == ""
    assert {*re.findall(r"<(\w+)", body)} == {"p"}
    assert items([text.replace(">", "x")]).splitlines()[0][:1] in "\\1ax"


def test_a_policy_names_what_runs_and_some_pages_need_more():
    chapter, lite = (policy.of_book(page, ["x = 1"], ["y()"]) for page in ("pruning", "lite/a"))
    known = {"'self'", "file:", "'unsafe-hashes'", *map(policy.hash_of_script, ("x = 1", "y()"))}
    assert {*rules(chapter)["script-src"]} == known
    assert {*rules(lite)["script-src"]} == known | {"'wasm-unsafe-eval'"}
    assert "script-src" not in rules(policy.of_single_page())


def test_slides_and_numbers_in_a_page_hold_their_own_script_alone():
    deck = slides.deck('# A "title" <b>\n\ntext\n\n> 1 min', {}.get)
    script = (ROOT / "companion/engine/static/slides.js").read_text()
    assert f"<script>{script}</script>" in deck
    assert rules(deck)["script-src"] == [policy.hash_of_script(script)]
    assert "<title>A &quot;title&quot; &lt;b&gt;</title>" in deck
    assert explorer('{"a": "</script><script>"}', "up").count("<script") == 4
