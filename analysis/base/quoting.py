"""How a sentence quotes texts and values from files that anyone may have written."""

from __future__ import annotations

import html
import re
import reprlib

#: Characters of a text on a page.
LONGEST_TEXT = 5000
NO_BREAK = "\N{NO-BREAK SPACE}"
#: Letters that show nothing.
FILLERS = frozenset("\u115f\u1160\u3164\uffa0")
#: How values are quoted: all of a text, a few entries of lists within lists.
QUOTES = reprlib.Repr()
QUOTES.maxlevel, QUOTES.maxstring, QUOTES.maxlong, QUOTES.maxother = 3, 200, 200, 200


def is_shown(character: str) -> bool:
    """Whether a character can be seen on a page, spaces included."""
    return character == NO_BREAK or (character.isprintable() and character not in FILLERS)


def printable(text: str) -> str:
    """The text without what could steer a terminal: such characters as escapes, lines as they are.

    It is cut where it is too long to be read.
    """
    escaped = "".join(c if is_shown(c) or c == "\n" else ascii(c)[1:-1] for c in text)
    return escaped if len(escaped) <= LONGEST_TEXT else f"{escaped[:LONGEST_TEXT]}…"


def on_a_line(text: object) -> str:
    """What `printable` makes of a name, as of a file, which may have lines."""
    return printable(str(text)).replace("\n", "\\n")


def in_short(text: object, most: int = 100) -> str:
    """The beginning of a text that is too long to be quoted."""
    whole = str(text)
    return whole if len(whole) < most else f"{whole[: most - 20]}…"


def quoted(given: object) -> str:
    """A value as Python writes it, in short; one of YAML may be without end."""
    try:
        return in_short(QUOTES.repr(given))
    except ValueError:  # Python writes no number of thousands of digits
        return "a number that is too long"


# CSV: the one place where a text becomes a cell

#: What makes a formula of a cell, as a spreadsheet reads it; full width is read alike.
FORMULA = tuple("=+-@＝＋－＠")

#: A number, perhaps with its interval, its unit or a remark: signed, it computes nothing.
ONE = r"[+−-]?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?"
NUMBER = re.compile(
    rf"\s*{ONE}(?:\s*±\s*{ONE}| to {ONE})?\s*%?(?: \((?:{ONE} to {ONE}|\*)\))?(?:, [a-z ]+)?\s*"
)


def as_cell(value: object) -> object:
    """A value as a cell of CSV that no spreadsheet takes for a formula; texts alone can be one.

    What comes before it and is not seen, such as blanks, changes nothing; a number stays as it is.

    >>> as_cell(" =1+1"), as_cell("+1 / +1"), as_cell("a = b"), as_cell(-2)
    ("' =1+1", "'+1 / +1", 'a = b', -2)
    >>> as_cell("+6.2 ± 0.3, in sample"), as_cell("+6.2 (−0.1 to +9)"), as_cell("+1 to +2")
    ('+6.2 ± 0.3, in sample', '+6.2 (−0.1 to +9)', '+1 to +2')
    """
    if not isinstance(value, str) or NUMBER.fullmatch(value):
        return value
    first = next((c for c in value if is_shown(c) and not c.isspace()), "")
    return f"'{value}" if first in FORMULA else value


# Markdown

#: How a block of Markdown begins: after a number, or at once.
BLOCK = re.compile(r"^(\d*)((?<=\d)[.)]|(?<!\d)[-~:%#+=(_])", re.MULTILINE)


def as_markdown(text: str, special: str = "<>&{}[]`$*|\\") -> str:
    """Text that Markdown shows as it is: a backslash before each ``special`` character.

    So it is before what would begin a heading, a list, a fence or another block.

    >>> as_markdown("1. run of *this*")
    '1\\\\. run of \\\\*this\\\\*'
    """
    escaped = "".join(f"\\{one}" if one in special else one for one in text)
    return in_paragraph(escaped)


def in_paragraph(markdown: str) -> str:
    """Markdown in which no line begins another block than a paragraph."""
    text = re.sub(r"^[ \t]+", "", markdown, flags=re.MULTILINE)  # which would begin code
    return BLOCK.sub(lambda start: f"{start[1]}\\{start[2]}", text)


# HTML: the one place where a text becomes part of a page

#: Elements without content.
VOID = {"base", "br", "hr", "img", "input", "link", "meta"}


class Html(str):
    """A piece of HTML, as this module writes it."""

    __slots__ = ()


def in_html(text: object) -> Html:
    """A text as it stands in a page, in an element or within the quotes of an attribute.

    >>> in_html('a" onfocus="x')
    'a&quot; onfocus=&quot;x'
    """
    return text if isinstance(text, Html) else Html(html.escape(str(text), quote=True))


def tag(name: str, /, *content: object, **attributes: object) -> Html:
    """An element of HTML; what is not `Html` is text, and so is each attribute.

    An attribute's ``_`` is a ``-``, one at its end is left out, and so is one that is None.

    >>> tag("a", "<b>", href='x"y', aria_hidden="true", class_=None)
    '<a href="x&quot;y" aria-hidden="true">&lt;b&gt;</a>'
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{in_html(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    end = "" if name in VOID else f"</{name}>"
    return Html(f"<{name}{given}>{in_a_row(*content)}{end}")


def in_a_row(*pieces: object) -> Html:
    """Pieces of a page one after another; what is not `Html` is text."""
    return Html("".join(map(in_html, pieces)))
