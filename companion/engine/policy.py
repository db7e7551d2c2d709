"""What pages of this project let a browser run and fetch: a Content-Security-Policy, in one place.

A page runs the scripts that come with it and the ones within it that are known by their hash, and
fetches from nowhere else: a text that became a script all the same would do nothing. Pages that
need more, as those that run Python in the browser, are named in `WIDER`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from fnmatch import fnmatch

from analysis.base.quoting import Html, tag

#: A page's own files, on a server and where it is opened from a disk.
OWN = ("'self'", "file:")
#: What pages of the book may load. Styles stand in elements, too, since the theme sets them there.
BOOK = {
    "default-src": ("'none'",),
    "script-src": OWN,
    "style-src": (*OWN, "'unsafe-inline'"),
    "img-src": (*OWN, "data:"),
    "font-src": (*OWN, "data:"),
    "connect-src": OWN,
    "form-action": OWN,
    "base-uri": ("'none'",),
}
#: What a page may load that is one file.
SINGLE = {
    "default-src": ("'none'",),
    "style-src": ("'unsafe-inline'",),
    "img-src": ("data:",),
    "base-uri": ("'none'",),
    "form-action": ("'none'",),
}
#: Pages of the book, by a pattern of their name → what else they may load. A worker in a file of
#: its own needs nothing: `script-src` lets a page start it, and it obeys no policy of the page.
WIDER: dict[str, dict[str, tuple[str, ...]]] = {"lite/*": {"script-src": ("'wasm-unsafe-eval'",)}}


def hash_of_script(text: str) -> str:
    """How a policy names a script that stands in the page, to the character."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def of_book(page: str, scripts: Iterable[str] = (), handlers: Iterable[str] = ()) -> Html:
    """The policy of a page of the book, as an element for its head.

    ``scripts`` are those that stand in it, ``handlers`` what its attributes run, as the theme
    writes them; never what is found in the finished page.
    """
    rules = {name: [*sources] for name, sources in BOOK.items()}
    for pattern, more in WIDER.items():
        if fnmatch(page, pattern):
            for name, sources in more.items():
                rules.setdefault(name, []).extend(sources)
    handlers = [*handlers]
    hashes = sorted({hash_of_script(text) for text in (*scripts, *handlers)})
    rules["script-src"] += ["'unsafe-hashes'", *hashes] if handlers else hashes
    return _element(rules)


def of_single_page(*scripts: str) -> Html:
    """The policy of a page that is one file, with these scripts in it alone."""
    rules = {name: [*sources] for name, sources in SINGLE.items()}
    if scripts:
        rules["script-src"] = [hash_of_script(text) for text in scripts]
    return _element(rules)


def _element(rules: dict[str, list[str]]) -> Html:
    content = "; ".join(f"{name} {' '.join(sources)}" for name, sources in rules.items())
    return tag("meta", http_equiv="Content-Security-Policy", content=content)
