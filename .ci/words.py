"""How many words a reader meets: pages of the table of contents, captions, and notebooks' comments.

Counted as `wc -w` counts, exercises left out. Reported, held by no test.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

#: From the heading to the next one of its level, or to the end.
EXERCISES = re.compile(r"^## Exercises\n.*?(?=^## |\Z)", re.M | re.S)


def files(contents: Any) -> Iterator[str]:
    """The pages that a table of contents names, in order."""
    if isinstance(contents, list):
        for item in contents:
            yield from files(item)
    elif isinstance(contents, dict):
        yield from (contents[key] for key in ("root", "file") if key in contents)
        for key in ("parts", "chapters", "sections"):
            yield from files(contents.get(key, []))


def main() -> None:
    """Print a line for each page, then the sums."""
    total = 0
    for name in files(yaml.safe_load(Path("_toc.yml").read_text(encoding="utf-8"))):
        page = Path("book", f"{name}.md")
        if page.is_file() and not name.startswith("runs/"):  # these are generated
            text = page.read_text(encoding="utf-8")
            kept, all_words = len(EXERCISES.sub("", text).split()), len(text.split())
            total += kept
            print(
                f"{kept:7,}  {name}" + (f" (exercises {all_words - kept:,})" * (all_words > kept))
            )
    captions = sum(
        len(file.read_text(encoding="utf-8").split())
        for file in Path("book/captions").glob("*.yaml")
    )
    comments = sum(
        len(line.split())
        for file in Path("notebooks").glob("*.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    )
    print(f"\n{total:7,}  pages\n{captions:7,}  captions\n{comments:7,}  notebooks' comments")


if __name__ == "__main__":
    main()
