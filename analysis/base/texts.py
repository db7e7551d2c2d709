"""What a reader reads: errors of one sentence, plain words, suggestions and aligned rows."""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Iterable, Mapping

from analysis.base.quoting import FILLERS, LONGEST_TEXT, is_shown, printable

#: An error lists at most so many known names.
MOST_LISTED = 20
#: What HTML, MyST or mathematics reads as more than characters, entities among it.
MARKUP = re.compile(r"[<>{}\[\]`$*|\\]|&[#\w]+;?")


class CompanionError(Exception):
    """The root of all errors that a reader sees: one sentence on what is wrong and what to do."""

    def __str__(self) -> str:
        """The message, which may quote files that anyone may have written, as it can be printed."""
        return printable(super().__str__())


def decoded(content: bytes) -> str:
    """A text file's words, in UTF-8 or UTF-16, with or without a mark, or as Windows writes ANSI.

    >>> [decoded("Müller".encode(code)) for code in ("utf-8-sig", "utf-16", "cp1252")]
    ['Müller', 'Müller', 'Müller']
    """
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16", errors="replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def plain(text: str) -> str:
    """The same text; ValueError if it holds what a page could read as more than characters."""
    unprintable = (one for one in text if not is_shown(one))
    shown = text.isprintable() and FILLERS.isdisjoint(text)  # as nearly all, found at once
    wrong = "" if shown else next(unprintable, "")
    wrong = wrong or next((match[0] for match in MARKUP.finditer(text)), "")
    if wrong:
        raise ValueError(f"plain words are expected, without {wrong!r}")
    return text


def worded(text: str) -> str:
    """The same text; ValueError if it has neither a letter nor a digit, or is too long."""
    if not any(map(str.isalnum, text)):
        raise ValueError("words are expected, with a letter or a digit at least")
    if len(text) > LONGEST_TEXT:
        raise ValueError(
            f"{len(text):,} characters are given, at most {LONGEST_TEXT:,} are expected"
        )
    return text


def as_words(text: str) -> str:
    """A text as `Words`: a question mark for each character that a page could read as more."""
    shown = "".join(c if is_shown(c) else "?" for c in text.replace("\\", "/"))
    shown = MARKUP.sub(lambda found: f"?{found[0][1:]}", shown)[:LONGEST_TEXT]
    return shown if any(map(str.isalnum, shown)) else f"without a name {shown}"


def is_template(text: str) -> bool:
    """Whether a text has one ``{}`` for a name, and no other braces."""
    before, name, after = text.partition("{}")
    return bool(name) and not {*"{}"} & {*before, *after}


def aligned(rows: Iterable[Iterable[str]]) -> list[str]:
    """Rows of a table as lines with aligned columns; a cell shows only its first line."""
    cells = [[text.split("\n")[0] for text in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in cells
    ]


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ``known are …; did you mean …`` for an error about an unknown name.

    Of many known names only the nearest are listed.
    """
    names = list(known)
    if len(names) > MOST_LISTED:
        nearest = difflib.get_close_matches(name, names, n=5, cutoff=0.3)
        listed = f"the nearest of the {len(names)} known are {', '.join(nearest)}"
        return listed if nearest else f"none of the {len(names)} known is near"
    listing = f"known are {', '.join(names)}" if names else "none is known"
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"{listing}; did you mean {close[0]!r}" if close else listing


def changes(old: Mapping[str, object], new: Mapping[str, object]) -> str:
    """How two mappings of parts differ, in words; "" if they do not."""
    changed = [name for name in new if name in old and old[name] != new[name]]
    added = [name for name in new if name not in old]
    gone = [name for name in old if name not in new]
    named = [("changed", changed), ("new", added), ("gone", gone)]
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in named if names)
