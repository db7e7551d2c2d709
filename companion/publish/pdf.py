"""The book as one PDF: Sphinx's single page, printed by Chromium, tagged and with its links.

`make pdf`, or ``python -m companion.publish.pdf``. Figures stay vectors; code is folded away by the
book's own style for print. What Chromium prints spells out a hundred thousand small objects, most
of them tags; packed into streams by pikepdf the file is smaller by a third.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pikepdf

from analysis.common import ROOT, CompanionError, replaced, temporary_folder

BUILD = ROOT / "book" / "_build"
PAGE = BUILD / "singlehtml" / "index.html"
PDF = BUILD / "pdf" / "interpreting-clip-companion.pdf"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Milliseconds of the page's own time until it is printed: formulas are drawn by then.
PATIENCE = 300_000
LONGEST = 900  # seconds


def browser() -> str:
    """The Chromium of this machine; CompanionError if there is none."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        raise CompanionError(
            f"a PDF is printed by Chromium, and none of {', '.join(BROWSERS)} is on the PATH: "
            "install one, or print single pages from the browser that you read them in."
        )
    return found


def build_page() -> Path:
    """Bring the book on a single page up to date; CompanionError if it cannot be built."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", "book/"]
    done = subprocess.run([*command, "--builder", "singlehtml"], cwd=ROOT, check=False)
    if done.returncode:
        raise CompanionError("the book was not built, see above, so no PDF was made.")
    return PAGE


def print_page(page: Path, pdf: Path) -> Path:
    """Print an HTML page to a PDF, tagged and with an outline; CompanionError if that fails."""
    with replaced(pdf) as part, temporary_folder() as profile:
        command = [
            browser(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={profile}",
            "--no-pdf-header-footer",
            "--generate-pdf-document-outline",
            f"--virtual-time-budget={PATIENCE}",
            f"--print-to-pdf={part}",
            page.as_uri(),
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=LONGEST
            )
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
        number = len(opened.pages)
        tagged = "/MarkInfo" in opened.Root and bool(opened.Root.MarkInfo.Marked)
    size = f"{pdf.stat().st_size / 1e6:.1f} MB, {number} page{'s' * (number != 1)}"
    return f"{size}, {'tagged' if tagged else 'not tagged'}"


def main() -> int:
    """Build the page, print it, and say what came out."""
    try:
        browser()  # before minutes of building
        pdf = print_page(build_page(), PDF)
    except CompanionError as error:
        print(f"companion: {error}", file=sys.stderr)
        return 1
    print(f"The book is at {pdf} ({about(pdf)}).")
    return 0


if __name__ == "__main__":
    sys.exit(main())
