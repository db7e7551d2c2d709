"""The book as one PDF: Sphinx's single page, printed by Chromium, tagged and with its links.

`make pdf`, or ``python -m companion.engine.pdf``. Pages of runs, and those for people who build
the book, are not printed, and one section becomes a file of its own as well: `Wanted` says which.
Figures stay vectors; code is folded away by the book's own style for print.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from analysis.base.files import replaced, temporary_folder, write_text
from analysis.base.roots import ROOT
from analysis.base.strict import Strict, checked, read_yaml
from analysis.base.texts import CompanionError

BUILD = ROOT / "book" / "_build"
PAGE = BUILD / "singlehtml" / "index.html"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LONGEST = 900  # seconds
#: After these milliseconds of the page's own time it is printed: formulas are drawn by then.
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
OPTIONS += ["--generate-pdf-document-outline", "--virtual-time-budget=300000"]


class Wanted(Strict):
    """What a book's `pyproject.toml` says under ``[tool.companion.pdf]``.

    ``file``: the name of the PDF; ``alone``: the label of a section that becomes a file of its own;
    ``left_out``: beginnings of pages that are not printed, but for those ``printed``;
    ``without``: the part of the contents of which no page is printed.
    """

    file: str = "book.pdf"
    alone: str = ""
    left_out: tuple[str, ...] = Field(default=(), alias="left-out")
    printed: tuple[str, ...] = ()
    without: str = ""


@cache
def wanted() -> Wanted:
    """What this book wants printed; CompanionError names the field that is wrong."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    given = tomllib.loads(text)["tool"]["companion"].get("pdf", {})
    return checked(Wanted, given, "pyproject.toml, [tool.companion.pdf]", CompanionError)


def browser() -> str:
    """The Chromium of this machine; CompanionError if there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise CompanionError(
            f"a PDF is printed by Chromium, and none of {', '.join(BROWSERS)} is on the PATH: "
            "install one, or print single pages from the browser that you read them in."
        )
    return path


def copied(page: Path, name: str, style: str) -> Path:
    """A copy of a single page, next to it, with rules of style that hide what is not printed."""
    text = page.read_text(encoding="utf-8").replace(f'href="{page.name}#', 'href="#')
    hidden = ".headerlink, #jb-print-docs-body { display: none !important; }"
    text = text.replace("</head>", f"<style>{hidden} {style}</style></head>", 1)
    write_text(made := page.with_name(f"{name}.html"), text)
    return made


def alone(page: Path, section: str) -> Path:
    """A page of which nothing shows but the section that bears a label, in smaller print."""
    text = page.read_text(encoding="utf-8")
    if f'id="{section}"' not in text:
        raise CompanionError(f"{page.name} has no section {section!r} to print.")
    of = f'[id="{section}"]'
    within = f":not(:has({of})):not({of}):not({of} *):not(section:has(> {of}) *)"
    hide = f"article {within} {{ display: none !important; }}"
    return copied(page, section, f"html {{ font-size: 90%; }} {hide}")


def of_part(contents: Mapping[str, Any], name: str) -> set[str]:
    """The pages of a part of the book, or of a chapter with its sections, by the contents."""
    parts = contents.get("parts", ())
    waiting = [part for part in parts if part.get("caption") == name]
    waiting += [each for part in parts for each in part["chapters"] if each.get("file") == name]
    names = set()
    while waiting:
        entry = waiting.pop()
        names |= {entry["file"]} if "file" in entry else set()
        waiting += [*entry.get("chapters", ()), *entry.get("sections", ())]
    return names


def shortened(page: Path, left_out: Collection[str] = ()) -> Path:
    """A single page in which what is left out does not show: pages of runs, and those named."""
    begins = "".join(f', [id^="document-{name}"]' for name in wanted().left_out).lstrip(", ")
    kept = "".join(f':not([id="document-{name}"])' for name in wanted().printed)
    marks = [f":is({begins}){kept}"] * bool(begins)
    marks += [f'[id="document-{name}"]' for name in sorted(left_out)]
    hide = ", ".join(f"span{mark} + section" for mark in marks)
    return copied(page, "printed", f"{hide} {{ display: none !important; }}" if hide else "")


def print_page(page: Path, pdf: Path) -> Path:
    """Print an HTML page to a PDF, tagged and with an outline; CompanionError if that fails."""
    with replaced(pdf) as part, temporary_folder() as profile:
        files = [f"--user-data-dir={profile}", f"--print-to-pdf={part}", page.as_uri()]
        line = [browser(), *OPTIONS, *files]
        try:
            done = subprocess.run(line, capture_output=True, text=True, timeout=LONGEST)
        except subprocess.TimeoutExpired:
            raise CompanionError(
                f"Chromium had not printed {page.name} after {LONGEST} seconds: try again on a "
                "machine with less to do."
            ) from None
        if done.returncode or not part.is_file():
            last = (done.stderr.strip().splitlines() or ["it did not say why"])[-1]
            raise CompanionError(f"Chromium could not print {page.name}: {last}")
    return pdf


def about(pdf: Path) -> str:
    """How large a PDF is, in words."""
    return f"{pdf.stat().st_size / 1e6:.1f} MB"


def main() -> int:
    """Build the page, print it, and say what came out."""
    build = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"]
    try:
        browser()  # before minutes of building
        if subprocess.run([*build, "--builder", "singlehtml"], cwd=ROOT, check=False).returncode:
            raise CompanionError("the book was not built, see above, so no PDF was made.")
        folder, parts = BUILD / "pdf", []
        if section := wanted().alone:
            parts.append(print_page(alone(PAGE, section), folder / f"{section}.pdf"))
        left_out = of_part(read_yaml(ROOT / "book" / "_toc.yml"), wanted().without)
        pdf = print_page(shortened(PAGE, left_out), folder / wanted().file)
    except CompanionError as error:
        print(f"companion: {error}", file=sys.stderr)
        return 1
    also = "".join(f", a part of it at {part} ({about(part)})" for part in parts)
    print(f"The book is at {pdf} ({about(pdf)}){also}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
