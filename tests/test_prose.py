"""What pages say by hand: numbers and outcomes that no result carries, each with a reason.

A result that is typed stays when the data change. So numbers and words of outcome in the prose are
held against `cases/typed.yaml`, where a person has said for each why it is there. How it is said
is for readers to judge.
"""

import ast
import re

import pytest
from conftest import ROOT, cases

from companion.engine.captions import CAPTIONS_FOLDER, read_captions

CASES = cases("typed")
PAGES = sorted((ROOT / "book").glob("*.md")) + sorted((ROOT / "book").glob("[ag]*/*.md"))
NAMES, TYPED = "|".join(CASES["names"]), "|".join(CASES["typed"])
#: Words that a caption has at most, its message and how to read the marks; and its small print.
LONGEST = {"caption": 35, "more": 50, "method": 50, "missing": 99}


def prose(text):
    """A page's own words, in one line."""
    for pattern in CASES["no_prose"]:
        text = re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(text.split())


def name_of(page):
    """A page's name in the book."""
    return page.relative_to(ROOT / "book").with_suffix("").as_posix()


def reviewed(name):
    """What somebody has said a reason for, on one page or on every."""
    return {word for words in CASES["reviewed"].get(name, {}).values() for word in words}


def typed(text):
    """Numbers and words of outcome in a text, each with the words around it."""
    rest = re.sub(NAMES, " ", text)
    for match in re.finditer(TYPED, rest, re.IGNORECASE):
        around = rest[max(0, match.start() - 50) : match.end() + 30]
        yield match[0].strip().rstrip(".,").casefold(), around


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_typed_was_reviewed(page):
    known = reviewed(name_of(page)) | reviewed("everywhere")
    unknown = [around for word, around in typed(prose(page.read_text())) if word not in known]
    assert not unknown, "take it from a result, or say in cases/typed.yaml why it is there"


def guarded(notebook):
    """The words of pages that a notebook guards, as it writes them or names them."""
    program = ast.parse(notebook.read_text())
    named = {
        ast.unparse(target): node.value.value
        for node in ast.walk(program)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
    }
    for node in ast.walk(program):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "page.holds":
            says = node.args[1]
            yield named[says.id] if isinstance(says, ast.Name) else ast.literal_eval(says)


def test_a_sentence_that_a_notebook_guards_is_on_a_page():
    """Else nobody notices that it no longer guards what the page says now."""
    texts = [*PAGES, *CAPTIONS_FOLDER.glob("*.yaml"), ROOT / "README.md"]
    shown = " ".join(" ".join(path.read_text().split()) for path in texts)
    notebooks = sorted((ROOT / "notebooks").glob("*.py"))
    says = {words: path.stem for path in notebooks for words in guarded(path)}
    assert len(says) > 60
    assert {words: name for words, name in says.items() if words not in shown} == {}


def test_the_list_is_of_pages():
    assert {*CASES["reviewed"]} <= {"everywhere", *map(name_of, PAGES)}


@pytest.mark.parametrize("name", [path.stem for path in sorted(CAPTIONS_FOLDER.glob("*.yaml"))])
def test_captions_are_short(name):
    for result, caption in read_captions(name).items():
        for variant in (caption, *caption.editions.values()):
            texts = [(getattr(variant, field), longest) for field, longest in LONGEST.items()]
            for text, longest in [*texts, *((text, 35) for text in variant.columns.values())]:
                assert len(text.split()) <= longest, (result, text)
