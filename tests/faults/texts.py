"""Hostile texts, by every way that a text gets into the book; the pages are opened in Chromium.

A text that is refused on its way in is survived; what gets in is built into a book, and no page of
it may run anything or link to a script: each payload marks the page that runs it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import ground
from conftest import cases, settle
from kills import Row
from playwright.sync_api import Page, sync_playwright

RAN = "window.ran"
MARK = f"{RAN}=1"
SCRIPT = "a[href^='javascript' i]"
PAYLOADS = {way: text.replace("MARK", MARK) for way, text in cases("faults")["texts"].items()}
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
            failed, let_in = [], 0
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
                    let_in += 1
                    failed += [f"{payload}: runs on {page}" for page in running(project, window)]
            yield Row("texts", f"{way} ({let_in} let in)", len(PAYLOADS), failed)


def _named(said: str) -> bool:
    """Whether a failed build says in a sentence what is wrong (Jupyter Book adds its own lines)."""
    return "plain words are expected" in said or "companion: " in said


def running(project: Path, window: Page) -> list[str]:
    """The pages on which a payload ran, or would, in Chromium."""
    book, found = project / "book/_build/html", []
    for path in sorted(book.rglob("*.html")):
        if "_static" not in path.parts:
            window.goto(path.as_uri(), wait_until="load")
            settle(window)
            if window.evaluate(RAN) or window.query_selector(SCRIPT):
                found.append(path.relative_to(book).as_posix())
    return found
