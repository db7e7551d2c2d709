"""What pages say by hand: numbers and outcomes that no result carries, each with a reason.

And how it is said, as far as that can be counted: captions are short, and pages, messages,
docstrings and guides do without the phrases that a reader of English stumbles over. Whether a page
reads well, two readers judge.

A result that is typed stays when the data change. So numbers and words of outcome in the prose are
held against `prose.yaml`, where a person has said for each why it is there. Exercises set tasks
and are left out, and so are code, formulas, citations and what results put in.
"""

import io
import re
import tokenize

import pytest
import yaml
from conftest import ROOT, cases

from results.page import CAPTIONS_FOLDER, read_captions

REVIEWED = yaml.safe_load((ROOT / "tests/prose.yaml").read_text())
PAGES = sorted((ROOT / "book").glob("*.md")) + sorted((ROOT / "book").glob("[ag]*/*.md"))
ENGLISH = cases("english")
NAMES, RESULTS = "|".join(ENGLISH["names"]), "|".join(ENGLISH["results"])


def prose(text):
    """A page's own words, in one line."""
    for pattern in ENGLISH["no_prose"]:
        text = re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(text.split())


def name_of(page):
    """A page's name in the book."""
    return page.relative_to(ROOT / "book").with_suffix("").as_posix()


def reviewed(name):
    """What somebody has said a reason for, of one page or of every."""
    return [phrase for phrases in REVIEWED.get(name, {}).values() for phrase in phrases]


def unexplained(text, phrases):
    """What is typed and not reviewed, with the words around it."""
    for phrase in phrases:
        text = text.replace(phrase, " ")
    rest = re.sub(NAMES, " ", text)
    matches = re.finditer(RESULTS, rest, re.IGNORECASE)
    return [rest[max(0, r.start() - 50) : r.end() + 30] for r in matches]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_typed_was_reviewed(page):
    phrases, text = reviewed(name_of(page)), prose(page.read_text())
    unreviewed = unexplained(text, [*phrases, *reviewed("everywhere")])
    assert not unreviewed, "take it from a result, or say in prose.yaml why it is there"
    assert [phrase for phrase in phrases if phrase not in text] == [], "no longer on the page"


def test_the_list_is_of_pages():
    assert {*REVIEWED} <= {"everywhere", *map(name_of, PAGES)}


def idiolect(text):
    """The forbidden phrases that a page's own words have, with what to write."""
    matches = {re.search(of, text, re.IGNORECASE): say for of, say in ENGLISH["forbidden"].items()}
    return {match[0]: say for match, say in matches.items() if match}


def said_in(path):
    """The words of a file: of Python its docstrings, messages and comments."""
    source = path.read_text()
    if path.suffix == ".md":
        return prose(source)
    texts = {"STRING", "FSTRING_MIDDLE", "COMMENT"}
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    said = (t.string for t in tokens if tokenize.tok_name[t.type] in texts and " " in t.string)
    return " ".join(prose(text.strip("rbf\"'")) for text in said)


def test_nothing_that_is_written_has_the_books_idiolect():
    rooms = (
        "analysis",
        "base",
        "companion",
        "results",
        "training",
        "book/_extensions",
        "notebooks",
        "data",
    )
    paths = [*PAGES, *(ROOT / "book/guide/slides").glob("*.md"), *ROOT.glob("*.md")]
    paths += [*ROOT.glob("*/README.md"), *ROOT.glob("data/*/README.md")]
    paths += [path for room in rooms for path in (ROOT / room).rglob("*.py")]
    phrases = {path: idiolect(re.sub(ENGLISH["no_idiolect"], " ", said_in(path))) for path in paths}
    assert {path: each for path, each in phrases.items() if each} == {}, "write it plainly"


#: Words that a caption has at most, its message and how to read the marks; and its small print.
LONGEST = {"caption": 35, "more": 50, "method": 50, "missing": 99}


@pytest.mark.parametrize("name", [path.stem for path in sorted(CAPTIONS_FOLDER.glob("*.yaml"))])
def test_captions_are_short_and_plain_and_columns_are_defined_apart(name):
    for result, caption in read_captions(name).items():
        headings = " | ".join(["", *caption.cells]).casefold()
        for variant in (caption, *caption.editions.values()):
            texts = [(getattr(variant, field), longest) for field, longest in LONGEST.items()]
            for text, longest in [*texts, *((text, 35) for text in variant.columns.values())]:
                assert len(text.split()) <= longest and idiolect(prose(text)) == {}, (result, text)
            words = re.findall(r"(?:^|[.;] )\*?([\w ,-]+)\*?: ", variant.more.casefold())
            assert not any(f"| {word}" in headings for word in words), f"{result}: a column's"


def test_what_is_missing_is_folded_where_a_part_of_a_chapter_ends():
    """A box that stands open between two findings interrupts whoever reads on."""
    boxes = 0
    for path in (ROOT / "book").glob("*.md"):
        text = path.read_text()
        for box in re.finditer(r"^:class: not-measured(.*)$", text, re.M):
            boxes += 1
            heading = re.search(r"^#+ ", text[box.end() :], re.M)
            assert (box[1], heading[0]) == (" dropdown", "## "), path.stem
    assert boxes > 3
