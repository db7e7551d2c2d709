"""The results that a notebook names, whether a run of it published them or not."""

from __future__ import annotations

import re

#: A text in quotes that could be a label, with parts in braces that are filled in; or an argument.
NAMED = re.compile(r"""["']((?:[\w-]|\{[^{}]*\})+)["']|\b(\w+)=""")


def line_in_source(source: str, label: str) -> int:
    """The first line of a notebook's source that names a label; 0 if none does.

    It names it in full, with underscores for hyphens, or with parts that are filled in.
    """
    for number, line in enumerate(source.splitlines(), 1):
        for text, argument in NAMED.findall(line.partition("# ")[0]):  # without a comment
            parts = re.split(r"\{[^{}]*\}", (text or argument).replace("_", "-"))
            pattern = "[A-Za-z0-9-]*".join(map(re.escape, parts))
            if re.search(r"\w", "".join(parts)) and re.fullmatch(pattern, label):
                return number
    return 0
