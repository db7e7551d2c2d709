"""What pages say by hand: numbers and outcomes that no result carries, each with a reason.

A result that is typed stays when the data change. So numbers and words of outcome in the prose are
held against `prose.yaml`, where a person has said of each why it stands there. Exercises set tasks
and are left out, and so are code, formulas, citations and what results put in.
"""

import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

REVIEWED = yaml.safe_load((ROOT / "tests/prose.yaml").read_text(encoding="utf-8"))
PAGES = sorted((ROOT / "book").glob("*.md")) + sorted((ROOT / "book").glob("[ag]*/*.md"))
#: Left out, in this order.
NO_PROSE = (
    r"^:::+\{admonition\} (?:Try it|Solution|Answer|(?:Exercise|Question) [^\n]*)$.*?^:::+$",
    r"^\d+ minutes to read.*?$",  # test_exercises holds them
    r"^```.*?^```$", r"^:::+.*?$", r"^\$\$.*?\$\$$",
    r"\{[\w:-]+\}`[^`]*`", r"`[^`]*`", r"\$[^$]*\$", r"\]\([^)]*\)",
    r"^\([^)\n]*\)=$", r"^\d+\. ",
)  # fmt: skip
#: Numbers that are names: of versions, years, models, data sets, exercises, claims and the like.
NAMES = (
    r"\b[Vv]ersions? [12]\b|\b(?:Figure|Table|Section|Equation|no\.) \d+\b|\b(?:19|20)\d\d\b|"
    r"\b(?:ViT-[A-Z]/|RN|DeiT-[A-Z]/)\d+\b|\bImageNet-?(?:1k|V2)\b|\bLAION-\w+|\bYFCC\w+|\bCC12M\b|"
    r"\bJupyter Book 1\b|\b(?:Apache[\w -]+|CC BY[\w -]*)\d\.0\b|"
    r"\b[a-z]+-\d(?:(?:,| to| and) \d)*\b|\b(?:[Ss]ession|slides|seed) \d(?: to \d)?\b|"
    r"\btop-1\b|\bP-80\b|\b(?:Broden1|SHA-|TF|float|fp|bf)\d+\b"
)
RESULT = re.compile(
    r"\bclearly\b|\b(?:claims?|it|this|order) \*?holds?\b|\breproduced\b|\bhas shown\b|"
    r"\bno [\w ]{1,40} at any\b|\d[\d,.]*(?:\s?%)?",
    re.IGNORECASE,
)


def prose(text: str) -> str:
    """A page's own words, in one line."""
    for pattern in NO_PROSE:
        text = re.sub(pattern, " ", text, flags=re.MULTILINE | re.DOTALL)
    return " ".join(text.split())


def name_of(page: Path) -> str:
    """A page's name in the book."""
    return page.relative_to(ROOT / "book").with_suffix("").as_posix()


def reviewed(name: str) -> list[str]:
    """What somebody has said a reason for, of one page or of every."""
    return [phrase for phrases in REVIEWED.get(name, {}).values() for phrase in phrases]


def unexplained(text: str, known: list[str]) -> list[str]:
    """What is typed and not reviewed, with the words around it."""
    for phrase in known:
        text = text.replace(phrase, " ")
    rest = re.sub(NAMES, " ", text)
    return [rest[max(0, r.start() - 50) : r.end() + 30] for r in RESULT.finditer(rest)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_is_typed_was_reviewed(page):
    own, text = reviewed(name_of(page)), prose(page.read_text(encoding="utf-8"))
    found = unexplained(text, [*own, *reviewed("everywhere")])
    assert not found, "take it from a result, or say in prose.yaml why it stands there"
    assert [one for one in own if one not in text] == [], "no longer on the page"


def test_the_list_is_of_pages_and_what_is_typed_is_seen():
    assert {*REVIEWED} <= {"everywhere", *map(name_of, PAGES)}
    text = prose("κ is 87 in `x = 3`, {result}`a#b` 4 of ViT-B/16.\n\nIt clearly holds.")
    assert len(unexplained(text, [])) == 3
    assert unexplained(text, ["κ is 87", "4 of", "It clearly holds"]) == []
