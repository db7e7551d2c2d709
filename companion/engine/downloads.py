"""What a reader can take from a result (data, drawing, citation), and its number."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from analysis.base.quoting import tag
from companion.engine.style import without_markup

#: What an output holds → how its file's name ends.
ENDINGS = {
    "text/csv": "csv",
    "application/json": "json",
    "image/svg+xml": "svg",
}
KINDS = ("figure", "table", "explorer")
#: Characters that TeX has names for; BibTeX counts braces, masked or not.
TEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "{": r"\textbraceleft{}",
    "}": r"\textbraceright{}",
}
#: Page → kind → anchor → number, pages in the book's order.
Numbers = dict[str, dict[str, dict[str, tuple[Any, ...]]]]


#: The author of what a reader measured: a name to write in.
BLANK = "Your Name"


class Book(NamedTuple):
    """What an entry of a bibliography says about the book, or the report, and what made that."""

    author: str
    title: str
    year: str
    software: str = ""


def bibtex(reference: str, note: Mapping[str, str], code: str, book: Book) -> str:
    """How to cite a result: by its name, which stays, and the hash of the code that made it."""
    title = without_markup(note.get("caption", reference)).split(". ")[0].rstrip(".")
    evidence = f", evidence: {note['evidence']}" if note.get("evidence") else ""
    made = f"Made with {book.software}, code" if book.software else "Code"
    fields = {
        "author": "{" + tex(book.author) + "}",
        "title": "{" + tex(title) + "}",
        "howpublished": tex(f"{note['kind'].capitalize()} {reference} in: {book.title}"),
        "year": tex(book.year),
        "note": tex(f"{made} {code}{evidence}"),
    }
    lines = "".join(f"  {name:12} = {{{text}}},\n" for name, text in fields.items())
    key = "-".join(("companion", reference.replace("/", "-").replace("#", "-"), code))
    return f"@misc{{{key},\n{lines}}}\n"


def tex(text: str) -> str:
    r"""Text with the characters masked that TeX takes for commands; no brace ends what holds it.

    >>> print(tex("100 % of a_b}"))
    100 \% of a\_b\textbraceright{}
    """
    return "".join(TEX.get(c, f"\\{c}" if c in "%&#_$" else c) for c in text)


def files(
    notebook: Mapping[str, Any], run: str, code: str, book: Book
) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files of all results of an executed notebook."""
    for output in (o for cell in notebook["cells"] for o in cell.get("outputs", [])):
        note = output.get("metadata", {}).get("companion", {})
        if note.get("kind") not in KINDS:
            continue
        for kind, end in ENDINGS.items():
            if kind in output["data"]:
                yield f"{note['label']}.{end}", content_of(output["data"][kind], end, note)
        reference = f"{run}#{note['label']}"
        yield f"{note['label']}.bib", bibtex(reference, note, code, book).encode()


def content_of(text: str, end: str, note: Mapping[str, str]) -> bytes:
    """The content of a file; a drawing on its own says what it shows."""
    if end == "svg":
        title = tag("title", note["alt"])
        text = re.sub("<svg[^>]*>", lambda start: start[0] + title, text, count=1)
    return text.encode()


def renumber(numbers: Numbers, shelves: Iterable[str]) -> Numbers:
    """Figures and tables by chapter; on the pages of the third subject's runs R3.1, R3.2 and so on.

    What is shown again, an anchor that ends with ``-in-PAGE``, has the number of its first place.

    >>> first, again = {"table": {"a-b-c": (4, 2)}}, {"table": {"a-b-c-in-start": (1, 1)}}
    >>> renumber({"start": again, "runs/a/b": first}, ["b"])["start"]
    {'table': {'a-b-c-in-start': ('R1', 1)}}
    """
    prefixes = {subject: (f"R{place}",) for place, subject in enumerate(shelves, start=1)}
    counts, first = Counter[tuple[Any, ...]](), dict[tuple[str, str], tuple[Any, ...]]()
    renumbered: Numbers = {page: {kind: {} for kind in kinds} for page, kinds in numbers.items()}
    places = [
        (page, kind, anchor, number)
        for page, kinds in numbers.items()
        for kind, of_kind in kinds.items()
        for anchor, number in of_kind.items()
    ]

    def again(place: tuple[str, str, str, Any]) -> bool:
        page, _, anchor, _ = place
        return anchor.endswith(shown_in(page))

    for page, kind, anchor, number in sorted(places, key=again):
        home = anchor.removesuffix(shown_in(page))
        if anchor == home:  # first all of these
            of_subject = page.startswith("runs/") and prefixes.get(page.rpartition("/")[2])
            prefix = of_subject or number[:-1]
            counts[kind, prefix] += 1
            first[kind, anchor] = (*prefix, counts[kind, prefix])
        renumbered[page][kind][anchor] = first.get((kind, home), number)
    return renumbered


def shown_in(page: str) -> str:
    """How the anchor of a result ends that is shown again on a page."""
    return f"-in-{re.sub('[^a-z0-9]+', '-', page.lower())}"
