"""Hostile texts, by every way that a text gets into the book; the pages are opened in Chromium.

A text that is refused on its way in is survived; what gets in is built into a book, and no page of
it may run anything: each payload marks the page that runs it. All that get in by one way are then
printed together as a PDF, which may hold neither a script nor a link to one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ground
import pikepdf
from conftest import cases, settle
from kills import Row
from playwright.sync_api import Page, sync_playwright

from companion.publish.pdf import print_page

RAN = "window.ran"
MARK = f"{RAN}=1"
PAYLOADS = {way: text.replace("MARK", MARK) for way, text in cases("faults")["texts"].items()}
LONGEST_NAME = 180  # bytes; a slash becomes three, and an ending follows
ADD, POCKET = (*ground.COMPANION, "add", "other"), ("--architecture", "pocket-cnn")
MEASUREMENT = "data/measurements/outlier_features/mine-web--one-*.json"


def _in_family(field: str) -> Callable[[Path, str], None]:
    def put(project: Path, text: str) -> None:
        path = project / "families/mine.yaml"
        line = rf"^(\s*{field}:).*$"
        new = re.compile(line, re.M).sub(
            lambda m: f"{m[1]} {json.dumps(text)}", path.read_text("utf-8"), count=1
        )
        path.write_text(new, "utf-8")

    return put


def _in_measurement(room: str, field: str) -> Callable[[Path, str], None]:
    def put(project: Path, text: str) -> None:
        path = next(iter(sorted(project.glob(MEASUREMENT))))
        content = json.loads(path.read_text("utf-8"))
        content[room][field] = text
        path.write_text(json.dumps(content), "utf-8")

    return put


def _refusal(project: Path, line: Sequence[str]) -> str:
    code, said = ground.run(project, line)
    return said if code else ""


def _as_file(place: str, original: str, *line: str) -> Callable[[Path, str], str]:
    """A file or a folder of that name, and a command that takes it."""

    def put(project: Path, text: str) -> str:
        name = text.replace("/", "\N{DIVISION SLASH}").replace("\n", " ")
        old, new = next(project.glob(original)), project / place.replace("TEXT", name)
        new.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(old.read_bytes())
        return _refusal(project, [word.replace("TEXT", name) for word in line])

    return put


WAYS: dict[str, Callable[[Path, str], str | None]] = {
    "a family's title": _in_family("title"),
    "a family's description": _in_family("backbone"),
    "a model's pretraining": _in_family("pretraining"),
    "a measurement's machine": _in_measurement("provenance", "device"),
    "a measurement's data set": _in_measurement("data", "name"),
    "a title on the command line": lambda project, text: _refusal(
        project, [*ADD, ground.CHECKPOINT, *POCKET, "--title", text]
    ),
    "a checkpoint's file name": _as_file(
        "TEXT.safetensors", ground.CHECKPOINT, *ADD, "TEXT.safetensors", *POCKET, "--replace"
    ),
    "a picture's name": _as_file("one/red/TEXT.png", "one/*/*.png", *ground.COMMANDS["extract"]),
    "a class's name": _as_file("one/TEXT/new.png", "one/*/*.png", *ground.COMMANDS["extract"]),
}


def texts(kept: Path, project: Path, tries: int, seed: int) -> Iterator[Row]:
    """Each payload by each way; what is let in goes into a book."""
    ground.fresh(kept, project)
    ground.do(project, "extract", "measure", "build")
    measured = ground.moved(project, project.parent.with_name("measured"))
    with sync_playwright() as playwright:
        path = shutil.which(os.environ.get("CHROMIUM", "chromium"))
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        window = chromium.new_page()
        window.set_content(PAYLOADS["a script"])
        assert window.evaluate(RAN), "a payload that runs is not noticed"
        for way, put in WAYS.items():
            failed, let_in = [], []
            for payload, text in PAYLOADS.items():
                ground.fresh(measured, project)
                refusal = put(project, text)
                if refusal:
                    failed += [f"{payload}: {refusal[-200:]}"] if "Traceback" in refusal else []
                    continue
                code, said = ground.run(project, ground.COMMANDS["build"])
                if code and not _named(said):
                    failed.append(f"{payload}: the build failed: {said[-300:]}")
                elif not code:
                    let_in.append(text)
                    failed += [f"{payload}: ran on {page}" for page in ran(project, window)]
            for some in _together(let_in):
                ground.fresh(measured, project)
                failed += printed(project, put, some, window)
            yield Row("texts", f"{way} ({len(let_in)} let in)", len(PAYLOADS), failed)


def _together(texts: Sequence[str]) -> Iterator[str]:
    """The texts in as few pieces as fit into the name of a file."""
    some = ""
    for text in texts:
        if some and len(f"{some} {text}".encode()) > LONGEST_NAME:
            yield some
            some = ""
        some = f"{some} {text}".strip(" ")
    if some:
        yield some


def printed(
    project: Path, put: Callable[[Path, str], str | None], text: str, window: Page
) -> list[str]:
    """What is wrong with the book's single page, and with the PDF that is printed from it."""
    refusal = put(project, text)
    code, said = ground.run(project, [*ground.COMMANDS["build"], "--builder", "singlehtml"])
    if refusal or code:
        return [f"the page to print was not built: {(refusal or said)[-300:]}"]
    page = project / "book/_build/singlehtml/index.html"
    window.goto(page.as_uri(), wait_until="load")
    settle(window)
    wrong = ["the page to print"] * bool(window.evaluate(RAN))
    with pikepdf.open(print_page(page, project / "book.pdf")) as pdf:
        for thing in pdf.objects:
            if isinstance(thing, pikepdf.Dictionary) and (
                "/JS" in thing or str(thing.get("/URI", "")).lower().startswith("javascript")
            ):
                wrong.append(f"the PDF: {thing}")
    return [f"ran in {place}" for place in wrong]


def _named(said: str) -> bool:
    """Whether a failed build says in a sentence what is wrong (Jupyter Book adds its own lines)."""
    return "plain words are expected" in said or "companion: " in said


def ran(project: Path, window: Page) -> list[str]:
    """The pages on which a payload ran, in Chromium."""
    book, found = project / "book/_build/html", []
    for path in sorted(book.rglob("*.html")):
        if "_static" not in path.parts:
            window.goto(path.as_uri(), wait_until="load")
            settle(window)
            if window.evaluate(RAN):
                found.append(path.relative_to(book).as_posix())
    return found
