"""The book as one PDF: Sphinx's single page, printed by Chromium, tagged and with its links.

`make pdf`, or ``python -m results.pdf``. Pages of runs, and those for people who build the book,
are named in a table at the end instead of printed, and one section becomes a file of its own
as well: `Wanted` says which. Figures stay vectors; code is folded away by the book's own style for
print. What Chromium prints spells out a hundred thousand small objects, most of them tags; packed
into streams by pikepdf the file is smaller by a third.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pikepdf
from bs4 import BeautifulSoup
from pydantic import Field

from base.files import replaced, temporary_folder, write_text
from base.quoting import Html, in_a_row, tag
from base.roots import ROOT
from base.strict import Strict, checked, read_yaml
from base.texts import CompanionError

BUILD = ROOT / "book" / "_build"
PAGE = BUILD / "singlehtml" / "index.html"
#: Where the table is, and how it begins.
TABLE = "pages-not-printed"
ABOUT = "These pages are in the book for browsers alone, in files of these names."
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
LONGEST = 900  # seconds
#: After these milliseconds of the page's own time it is printed: formulas are drawn by then.
OPTIONS = ["--headless", "--no-sandbox", "--disable-gpu", "--no-pdf-header-footer"]
OPTIONS += ["--generate-pdf-document-outline", "--virtual-time-budget=300000"]


class Wanted(Strict):
    """What a book's `pyproject.toml` says under ``[tool.results.pdf]``.

    ``file``: the name of the PDF; ``alone``: the label of a section that becomes a file of its own;
    ``left_out``: beginnings of pages that a table names instead, but for those ``printed``;
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
    given = tomllib.loads(text)["tool"]["results"].get("pdf", {})
    return checked(Wanted, given, "pyproject.toml, [tool.results.pdf]", CompanionError)


def browser() -> str:
    """The Chromium of this machine; CompanionError if there is none."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        raise CompanionError(
            f"a PDF is printed by Chromium, and none of {', '.join(BROWSERS)} is on the PATH: "
            "install one, or print single pages from the browser that you read them in."
        )
    return path


def alone(page: Path, section: str) -> Path:
    """A page with nothing but the section of another that bears a label, in smaller print.

    Links that leave the section become text.
    """
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    label, article = soup.find(id=section), soup.find("article")
    wanted = label and (label if label.name == "section" else label.find_parent("section"))
    if wanted is None or article is None:
        raise CompanionError(f"{page.name} has no section {section!r} to print.")
    for other in soup.find_all(id="jb-print-docs-body") + wanted.find_all(class_="headerlink"):
        other.decompose()
    here = {element["id"] for element in wanted.find_all(id=True)}
    for link in wanted.find_all("a", href=lambda to: to and to.startswith(("#", f"{page.name}#"))):
        target = str(link["href"]).partition("#")[2]
        link["href"] = f"#{target}"
        if target not in here:
            link.unwrap()
    article.clear()
    article.append(wanted)
    if (whole := soup.find("html")) is not None:
        whole["style"] = "font-size: 90%"
    write_text(made := page.with_name(f"{section}.html"), str(soup))
    return made


def of_part(contents: Mapping[str, Any], caption: str) -> set[str]:
    """The pages of a part of the book, by the table of contents."""
    waiting = [part for part in contents.get("parts", ()) if part.get("caption") == caption]
    names = set()
    while waiting:
        entry = waiting.pop()
        names |= {entry["file"]} if "file" in entry else set()
        waiting += [*entry.get("chapters", ()), *entry.get("sections", ())]
    return names


def shortened(page: Path, address: str = "", left_out: Collection[str] = ()) -> Path:
    """A single page without those that are left out, which a table at its end names.

    Pages of runs are left out, and those named in ``left_out``. ``address``: that of the book for
    browsers, if it has one; its pages are then linked. A link to what is not printed leads to the
    table.
    """
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    marks = soup.find_all("span", id=lambda name: name and name.startswith("document-"))
    gone, rows = [], {}
    for mark in marks:
        name, section = str(mark["id"]).partition("-")[2], mark.find_next_sibling("section")
        begins = name.startswith(wanted().left_out) and name not in wanted().printed
        if section and (begins or name in left_out):
            heading = section.find(re.compile("h[1-6]"))
            gone.append(section)
            rows[name] = heading.get_text().rstrip("#") if heading else name
    for section in gone:
        section.extract()
    _end_with_table(soup, rows, address.rstrip("/"))
    here = {element["id"] for element in soup.find_all(id=True)}
    within = ("#", f"{page.name}#")  # the copy that is printed has another name
    for link in soup.find_all("a", href=lambda to: to and to.startswith(within)):
        target = str(link["href"]).partition("#")[2]
        link["href"] = f"#{target if target in here else TABLE}"
    write_text(made := page.with_name("printed.html"), str(soup))
    return made


def _end_with_table(soup: BeautifulSoup, rows: Mapping[str, str], address: str) -> None:
    """Put a table of pages, name → title, at the end of a page."""
    table = Html("")
    for name, title in rows.items():
        where = tag("a", f"{name}.html", href=f"{address}/{name}.html" if address else None)
        table = in_a_row(table, tag("tr", tag("td", title), tag("td", where)))
    part = f'<section id="{TABLE}"><h2>Pages that are not printed</h2><p>{ABOUT}</p>'
    made = BeautifulSoup(f'{part}<table class="table">{table}</table></section>', "html.parser")
    (soup.find("article") or soup).append(made)


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
        with pikepdf.open(part, allow_overwriting_input=True) as printed:
            printed.save(object_stream_mode=pikepdf.ObjectStreamMode.generate)
    return pdf


def about(pdf: Path) -> str:
    """How large a PDF is, and whether a reader of screens finds its structure, in words."""
    with pikepdf.open(pdf) as opened:
        pages = len(opened.pages)
        tagged = "/MarkInfo" in opened.Root and bool(opened.Root.MarkInfo.Marked)
    size = f"{pdf.stat().st_size / 1e6:.1f} MB, {pages} page{'' if pages == 1 else 's'}"
    return f"{size}, {'' if tagged else 'not '}tagged"


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
        config = read_yaml(ROOT / "book" / "_config.yml")
        left_out = of_part(read_yaml(ROOT / "book" / "_toc.yml"), wanted().without)
        page = shortened(PAGE, config["html"].get("baseurl", ""), left_out)
        pdf = print_page(page, folder / wanted().file)
    except CompanionError as error:
        print(f"companion: {error}", file=sys.stderr)
        return 1
    also = "".join(f", a part of it at {part} ({about(part)})" for part in parts)
    print(f"The book is at {pdf} ({about(pdf)}){also}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
