"""Sphinx extension: bring all runs up to date before the book is read.

Connected to `config-inited` ahead of sphinx-external-toc (priority 900), so that the table of
contents finds notebooks which are made here, and again after it, to put them below the page of
their subject, under short titles that say on which evidence a page rests. Which subjects have a
page, and which other pages are made, the `project` says. If a run fails, or the disk refuses what
is written, the build stops with a sentence, and no book is published. If a sentence of the book
does not hold of recorded numbers, the book is built, the sentence is marked, and the build ends
with an error.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import SphinxParallelError
from sphinx.util import logging

from analysis.base.files import DENIED, FULL, about_disk
from analysis.base.roots import ROOT
from analysis.base.texts import CompanionError
from companion.engine import experiments, project, threads
from companion.engine.engine import bring_up_to_date
from companion.engine.jobs import alone
from companion.engine.run import OUTPUTS
from companion.engine.sphinx.offline import write_if_changed

logger = logging.getLogger(__name__)


def update_runs(app: Sphinx, config: Config) -> None:
    """Execute what is stale or missing, `COMPANION_JOBS` (2) at a time.

    A build that cannot go on ends here: jupyter-book would print a traceback of its own below what
    is wrong.
    """
    held = ExitStack()  # until the pages are written
    app.connect("build-finished", lambda *_: held.close(), priority=999)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it stops a build as Ctrl-C does
    try:
        _check_is_of_the_root(Path(app.srcdir))
        held.enter_context(alone("a build of the book"))
        threads.limit()
        bring_up_to_date(threads.jobs_wanted())
    except CompanionError as error:
        sys.exit(f"The runs: {error}")
    except OSError as error:
        if said := refusal(error):
            sys.exit(said)
        raise


def _check_is_of_the_root(book: Path) -> None:
    """CompanionError if a book lies elsewhere than the notebooks that would be executed for it."""
    if ROOT.resolve() not in book.resolve().parents:
        raise CompanionError(
            f"the book {book} does not lie in {ROOT}, whose notebooks would be executed: set "
            "COMPANION_ROOT to the folder of its pyproject.toml with [tool.companion]."
        )


def report_false_sentences(app: Sphinx, _: BaseException | None) -> None:
    """Name what does not hold of recorded numbers, and have the build end with an error."""
    for sentence in experiments.false_sentences():
        logger.error("%s", sentence)
        app.statuscode = 1


def end_where_the_disk_refuses(app: Sphinx, error: BaseException | None) -> None:
    """End a build in whose pages something could not be written, with one sentence."""
    if error and (said := refusal(error)):
        sys.exit(said)


def say_what_the_disk_refuses(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print one sentence instead of a traceback, where a build ended before any page."""
    if said := refusal(error):
        print(said, file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def refusal(error: BaseException | None) -> str:
    """What a disk refused, in one sentence, if that is behind an error; "" if it is not."""
    while error and not isinstance(error, OSError | SphinxParallelError):
        error = error.__cause__ or error.__context__
    if isinstance(error, SphinxParallelError):  # another process has only told it
        told = re.search(r"\[Errno (\d+)\] [^:\n]*(?:: '(.*)')?", str(error))
        number, place = told.groups() if told else ("0", None)
        error = OSError(int(number), os.strerror(int(number)), place)
    if isinstance(error, OSError) and error.errno in FULL + DENIED:
        return f"The book: {about_disk(error)}"
    return ""


def order_runs(app: Sphinx, config: Config) -> None:
    """Where the table of contents has globs of runs, list subjects, and below each its runs."""
    from sphinx_external_toc.api import Document, FileItem, GlobItem, TocTree

    ours = project.current()
    site, titles, shelves = config.external_site_map, short_titles(), ours.shelves()
    listed, texts = [*site], dict[str, str]()
    for tree in [tree for document in [*site.values()] for tree in document.subtrees]:
        globs = [g for g in tree.items if isinstance(g, GlobItem) and g.startswith("runs/")]
        names = [name for glob in globs for name in titles if fnmatchcase(name, glob)]
        tree.items = [each for each in tree.items if each not in globs]
        for subject, title in shelves.items():
            own = [name for name in names if name.endswith(f"/{subject}")]
            if own:
                place = f"{ours.scopes[0]}/{subject}"
                site[f"runs/{place}"] = Document(
                    f"runs/{place}", [TocTree([FileItem(name) for name in own])], title=title
                )
                site.update({name: Document(name, title=titles[name]) for name in own})
                tree.items.append(FileItem(f"runs/{place}"))
                listed += [f"runs/{place}", *own]
                texts[place] = ours.shelf(subject, own)
        for name in [name for name in names if name not in listed]:  # under its own title
            site[name] = Document(name)
            tree.items.append(FileItem(name))
            listed.append(name)
    # No others are read; where the checkout's path has brackets, no glob would leave them out.
    config.include_patterns = [f"{name}.*" for name in listed]
    config.exclude_patterns = [each for each in config.exclude_patterns if "runs/" not in each]
    _write_pages({**texts, **ours.pages(listed)}, ours.scopes[0])


def _write_pages(texts: Mapping[str, str], scope: str) -> None:
    """Write the texts that have changed, and remove the pages of subjects that are gone."""
    for name, text in texts.items():
        write_if_changed(OUTPUTS / f"{name}.md", text.encode())
    for path in OUTPUTS.glob(f"{scope}/*.md"):
        if f"{scope}/{path.stem}" not in texts:
            path.unlink()


def short_titles() -> dict[str, str]:
    """Page → how the table of contents calls it below its subject: with the evidence behind it."""
    runs = [(run, experiments.made(run)) for run in experiments.all_runs()]
    return {
        f"runs/{run}": f"{experiments.heading(run.experiment)} · "
        f"{', '.join(about['evidence']) or 'no evidence'}"
        for run, about in runs
        if about and run.experiment.scope == project.current().scopes[0]
    }


def find_altered(app: Sphinx, env: BuildEnvironment, *_: Any) -> list[str]:
    """The pages that are another file than when they were read, or show one that is.

    Sphinx reads again what is newer; after a clock was set back, what changed is older.
    """
    noted: dict[str, dict[str, Any]] = getattr(env, "companion_files", {})
    return [page for page in env.found_docs if noted.get(page, found := _files(env, page)) != found]


def note_files(app: Sphinx, env: BuildEnvironment) -> None:
    """Note of which time and size the files are that each page was made from."""
    files = {page: _files(env, page) for page in env.found_docs}
    env.companion_files = files  # type: ignore[attr-defined]


def _files(env: BuildEnvironment, page: str) -> dict[str, Any]:
    """Time and size of a page's file, and of those that it shows."""
    shown = env.dependencies.get(page, ())
    paths = [Path(env.doc2path(page)), *(Path(env.srcdir, place) for place in shown)]
    there = {str(path): path.stat() for path in paths if path.is_file()}
    return {path: (about.st_mtime_ns, about.st_size) for path, about in there.items()}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    sys.excepthook = say_what_the_disk_refuses
    app.connect("config-inited", update_runs, priority=100)
    app.connect("config-inited", order_runs, priority=901)
    app.connect("env-get-outdated", find_altered)
    app.connect("env-updated", note_files)
    app.connect("build-finished", report_false_sentences)
    app.connect("build-finished", end_where_the_disk_refuses, priority=1000)  # after all others
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
