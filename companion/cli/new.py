"""What `companion new` writes: the blocks of a page of the book, with blanks to fill in.

The page is the only place where they are kept: it shows them, this writes them, and a test fills
their blanks. A block's caption says where it belongs: a new file, the end of one, or the place in
one below, or above, the first line that begins so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from analysis.base.files import write_text
from analysis.base.roots import ROOT
from analysis.base.strict import no_device
from analysis.base.texts import CompanionError

PAGE = ROOT / "book" / "guide" / "add_your_own.md"
Contribution = Literal["metric", "experiment", "claim", "data-set"]
BLOCK = re.compile(r"^(`{3,})\{code-block\} \w+\n:caption: ([^\n]+)\n(.*?)^\1$", re.M | re.S)
PLACE = re.compile(r"(A new file|At the end of|In) `(.+?)`(?:, (below|above) (`+)(.+)\4)?")


class NewError(CompanionError):
    """A contribution that cannot be begun; the message says why and what to do."""


class Block(NamedTuple):
    """A text, and where it belongs in a file: ``below`` or ``above`` the line that begins so."""

    path: Path
    is_new: bool
    side: str
    line: str
    text: str


def blocks(kind: Contribution, name: str, root: Path = ROOT) -> list[Block]:
    """The blocks of the page's section on a kind of contribution, under a name."""
    sections = re.split(r"^## An? (.+)\n", PAGE.read_text(encoding="utf-8"), flags=re.M)
    texts = dict(zip(sections[1::2], sections[2::2], strict=True))
    named = texts[kind.replace("-", " ")].replace("NAME", name)
    named = named.replace("IDENTIFIER", re.sub(r"\W", "_", name.lower()))
    return [_placed(caption, text, root) for _, caption, text in BLOCK.findall(named)]


def _placed(caption: str, text: str, root: Path) -> Block:
    match = PLACE.fullmatch(caption)
    assert match, f"{PAGE.name}: {caption!r} says no place"
    how, path, side, _, line = match.groups(default="")
    return Block(root / path, how == "A new file", side, line, text)


def begun(kind: Contribution, name: str, root: Path = ROOT) -> list[Path]:
    """Write the files of a contribution with blanks, between ‹ and ›; returns them.

    A draft stops nothing: what is put into a file that is there is a comment until its blanks are
    filled in, and a notebook with blanks is no experiment yet. Raises NewError, before anything is
    written, for a name that is none or is taken.
    """
    pattern = r"[A-Z][A-Za-z]*-[a-z0-9-]+" if kind == "claim" else r"[a-z][a-z0-9_]*"
    if not re.fullmatch(pattern, name):
        example = {"claim": "K-spread", "data-set": "flowers102"}.get(kind, "spread")
        raise NewError(f"{name!r} is no name of a {kind}: it must be like {example}.")
    try:
        no_device(name)
    except ValueError as error:
        raise NewError(f"{error}: choose another.") from None
    texts = dict(_written(blocks(kind, name, root), name))
    for path, text in texts.items():
        write_text(path, text)
    return list(texts)


def _written(given: list[Block], name: str) -> Iterator[tuple[Path, str]]:
    """Each file with its blocks in their places; a file may have several."""
    texts: dict[Path, str] = {}
    for block in given:
        if block.is_new:
            if block.path.exists():
                raise NewError(f"{block.path.name} is there: choose another name than {name}.")
            yield block.path, block.text
            continue
        if block.path not in texts:
            texts[block.path] = block.path.read_text(encoding="utf-8")
            if re.search(rf"\b{re.escape(name)}\b", texts[block.path]):
                raise NewError(f"{block.path.name} names {name} already: choose another name.")
        texts[block.path] = _with(block, texts[block.path])
    yield from texts.items()


def _with(block: Block, old: str) -> str:
    """A file's text with a block in its place, as a comment."""
    text = as_comment(block)
    if not block.line:
        between = "\n\n\n" if block.path.suffix == ".py" else "\n\n"
        return old.rstrip("\n") + between + text.strip("\n") + "\n"
    lines = old.splitlines(keepends=True)
    starts = [place for place, line in enumerate(lines) if line.lstrip().startswith(block.line)]
    if not starts:
        raise NewError(
            f"{block.path.name} has no line {block.line!r}: add the block of {PAGE.name} by "
            "hand, and correct where that says it belongs."
        )
    at = starts[0] + (block.side == "below")
    return "".join([*lines[:at], text, *lines[at:]])


def as_comment(block: Block) -> str:
    """A block's text, each line of it a comment in its file."""
    mark = "%" if block.path.suffix == ".md" else "#"
    return re.sub(r"^(?=.)", f"{mark} ", block.text, flags=re.MULTILINE)
