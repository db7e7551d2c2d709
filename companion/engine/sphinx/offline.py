"""Keep the built book self-contained and free of leftovers.

What Sphinx and Jupyter Book leave to their users:

- exactly the scripts and styles named here are put on every page, in this order (Jupyter Book
  adds whatever lies in `_static`, in the file system's order, 2 MB of MathJax included);
- a page that would load anything from another host stops the build;
- the titles that the theme writes as HTML, above the contents of a printed page, are escaped;
- pages whose source is gone are removed from the output, so that they are not published, and words
  that are gone from the search index, so that a book built again is the one built from nothing;
- when a page comes, goes or gets another title, all pages are written again, because each shows
  the table of contents (Sphinx leaves the others with the old one, and with dead links); and when
  a script or a style changes, which Sphinx then leaves as it was;
- a build with warnings fails, after all of them are shown, and so does the next one until they
  are gone (Sphinx would skip the unchanged pages and succeed).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from sphinx.application import ENV_PICKLE_FILENAME, Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError

from analysis.base.quoting import in_html

#: Scripts and styles that any book has.
STATIC = Path(__file__).resolve().parents[1] / "static"
STYLES = ["companion.css", "run_here.css"]
SCRIPTS = ["vendor/sortable/sortable.js", "companion.js", "forms.js", "lite.js", "run_here.js"]

# Pages that Sphinx makes without a source of their own.
GENERATED_PAGES = frozenset({"genindex", "slides", "search"})

_HOST = r"""["']?(?P<address>(?:https?:)?//[^"'\s)>]+)"""
# What a browser fetches when it opens a page, which excludes links to follow: the files to search,
# and the form of an address in them.
_FETCHED = (
    (r"<(?:script|img|iframe|source|video|audio|embed|track)\b[^>]*>", rf"\ssrc\s*=\s*{_HOST}"),
    (r"<link\b(?=[^>]*\brel\s*=\s*[\"']?(?:stylesheet|(?:module)?preload|icon|shortcut))[^>]*>",
     rf"\shref\s*=\s*{_HOST}"),
    (r"<style\b.*?</style>", rf"@import\s+(?:url\(\s*)?{_HOST}"),
    (r"<script\b.*?</script>", rf"\b(?:import|from)\s*\(?\s*{_HOST}"),
)  # fmt: skip


def foreign_resources(page: str) -> list[str]:
    """Return the addresses on other hosts that a page makes the browser fetch.

    >>> foreign_resources('<script src="https://example.org/a.js"></script>')
    ['https://example.org/a.js']
    >>> foreign_resources('<a href="https://example.org">a link is fine</a>')
    []
    """
    return [
        match["address"]
        for place, address in _FETCHED
        for text in re.findall(place, page, re.IGNORECASE | re.DOTALL)
        for match in re.finditer(address, text, re.IGNORECASE)
    ]


def name_assets(app: Sphinx, config: Config) -> None:
    """Put the engine's scripts and styles on every page, and no others.

    A book's own static files may replace them.
    """
    config.html_static_path = [str(STATIC), *config.html_static_path]
    config.html_css_files = list(STYLES)
    config.html_js_files = [(name, {"defer": "defer"}) for name in SCRIPTS]


def read_in_parallel(app: Sphinx) -> None:
    """Read and write pages with as many processes as runs are executed with."""
    app.parallel = int(os.environ.get("COMPANION_JOBS", "2"))  # what `-j` sets
    if numbering := app.extensions.get("sphinx_multitoc_numbering"):
        numbering.parallel_read_safe = True  # it numbers sections once all pages are read


def place_late_styles(app: Sphinx) -> None:
    """Put MyST-NB's style in its place, where MyST-NB copies it after the pages are written.

    Sphinx adds a checksum to the address of a file that is there: without this, a page would say
    another address in a first build than in a second.
    """
    if "myst_nb" in app.extensions and app.builder.format == "html":
        from myst_nb.sphinx_ext import add_global_html_resources

        (Path(app.outdir) / "_static").mkdir(parents=True, exist_ok=True)
        add_global_html_resources(app, None)


def when_written(app: Sphinx, *tasks: Callable[[Sphinx], None], also: str = "") -> None:
    """Have tasks done at the end of a build that wrote pages of the book, or of the form ``also``.

    Where nothing was to be written, nothing of what they do has changed.
    """

    def finish(app: Sphinx, exception: Exception | None) -> None:
        if exception is None and app.builder.name in ("html", also) and _written(app):
            for task in tasks:
                task(app)

    app.connect("build-finished", finish)


def note_page(app: Sphinx, pagename: str, *_: Any) -> None:
    """Remember which pages this build writes, to check just those."""
    _written(app).add(pagename)


def escape_titles(app: Sphinx, name: str, template: str, context: dict[str, Any], _: Any) -> None:
    """Escape what the theme's templates write as it is: plain text, which may look like HTML."""
    for key in ("pagetitle", "root_title"):
        if key in context:
            context[key] = in_html(context[key])


def check_pages(app: Sphinx) -> None:
    """Stop the build if a page written by it loads something from another host.

    Raises:
        ExtensionError: naming the first such page and what it would load.
    """
    for pagename in sorted(_written(app)):
        page = Path(app.builder.get_outfilename(pagename))  # type: ignore[attr-defined]
        text = page.read_text(encoding="utf-8") if page.is_file() else ""
        if foreign := foreign_resources(text):
            raise ExtensionError(
                f"The page {pagename} would load {foreign[0]} from another host, but the book "
                "works offline: put a copy next to its static files and refer to that."
            )


def write_all_if_contents_changed(app: Sphinx, env: BuildEnvironment) -> Iterable[str]:
    """Name the pages to write again: all, if the contents are not those of the last build.

    Or if a static file is not: pages name scripts and styles with their checksums, and Sphinx
    copies no static file where it writes no page.
    """
    contents = {name: title.astext() for name, title in env.titles.items()}
    tree = {name: list(children) for name, children in env.toctree_includes.items()}
    named = {name: page.title for name, page in getattr(env, "external_site_map", {}).items()}
    shown = contents, tree, named, _static_files(app)
    if getattr(env, "companion_contents", None) == shown:
        return []
    env.companion_contents = shown  # type: ignore[attr-defined]
    return env.found_docs


def _static_files(app: Sphinx) -> dict[str, int]:
    """A checksum of each static file, which is Sphinx's own in the addresses of scripts."""
    folders = [Path(app.confdir, place) for place in app.config.html_static_path]
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    return {str(path): zlib.crc32(path.read_bytes()) for path in files}


def remove_leftovers(app: Sphinx) -> None:
    """Remove built pages, copied sources and images that belong to no source of the book."""
    output, sources = Path(app.outdir), app.env.found_docs
    pages = {f"{name}.html" for name in sources | _written(app) | GENERATED_PAGES}
    beginnings = tuple(f"_sources/{name}." for name in sources)
    images = {f"_images/{name}" for _, name in app.env.images.values()}
    patterns = ("**/*.html", "_sources/**/*.*", "_images/*")
    for path in {path for pattern in patterns for path in output.glob(pattern)}:
        place = path.relative_to(output).as_posix()
        kept = place in pages | images or place.startswith(("_static/", "slides/", *beginnings))
        if not kept:
            path.unlink()


def forget_lost_words(app: Sphinx) -> list[Any]:
    """Forget words that no page has any more, which Sphinx keeps in its search index."""
    if indexer := getattr(app.builder, "indexer", None):
        for pages in (indexer._mapping, indexer._title_mapping):
            for word in [word for word, names in pages.items() if not names]:
                del pages[word]
    return []


def forget_until_finished(app: Sphinx, env: BuildEnvironment) -> None:
    """Put the environment aside while pages and the search index follow from it.

    The next build reads everything again if this one does not get to its end.
    """
    kept = Path(app.doctreedir) / ENV_PICKLE_FILENAME
    if kept.exists():
        kept.replace(kept.with_suffix(".aside"))


def remember_when_finished(app: Sphinx, exception: Exception | None) -> None:
    """Put the environment back: all that follows from it is written.

    Not if this build warned: then the next one reads every page again.
    """
    kept = Path(app.doctreedir) / ENV_PICKLE_FILENAME
    aside = kept.with_suffix(".aside")
    if exception is None and aside.exists():
        aside.replace(kept)
    if exception is None and app._warncount:
        kept.unlink(missing_ok=True)


def _written(app: Sphinx) -> set[str]:
    """Return the names of the pages written by this build, a set to add to."""
    written: set[str] = vars(app).setdefault("companion_written", set())
    return written


def write_if_changed(path: Path, content: bytes) -> None:
    """Write a file, with its folder, unless it is there with this content."""
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def forget_what_is_read_anew(_: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Forget all changed pages before the first is read: a label may move from one to another."""
    for name in names:
        env.clear_doc(name)


#: What Sphinx and sphinxcontrib-bibtex work out anew in each build, though the environment has it:
#: the numbers of sections and figures, for which all pages are unpickled, and the references.
KNOWN = {
    "env-get-updated": "sphinx.environment.collectors.toctree",
    "env-updated": "sphinxcontrib.bibtex",
}


def spare_what_is_known(app: Sphinx) -> None:
    """Number and format again only where a page was read, or is gone."""
    for event, module in KNOWN.items():
        listeners = app.events.listeners.get(event, [])
        for place, listener in enumerate(listeners):
            if listener.handler.__module__.startswith(module):
                listeners[place] = listener._replace(handler=_if_changed(listener.handler))


def _if_changed(handler: Callable[..., Any]) -> Callable[..., Any]:
    def handle(app: Sphinx, env: BuildEnvironment, *more: Any) -> Any:
        return handler(app, env, *more) if vars(app).get("companion_changed", True) else []

    return handle


def note_what_is_gone(
    app: Sphinx, env: BuildEnvironment, added: set[str], changed: set[str], removed: set[str]
) -> list[str]:
    """Remember whether a page is gone."""
    vars(app)["companion_changed"] = bool(removed)
    return []


def note_what_is_read(app: Sphinx, env: BuildEnvironment, names: list[str]) -> None:
    """Remember whether a page is read."""
    vars(app)["companion_changed"] |= bool(names)


def setup(app: Sphinx) -> dict[str, Any]:
    """Connect these to Sphinx's events; treat warnings as errors."""
    app.keep_going = True  # what `-W --keep-going` sets
    # Jupyter Book sets it for sphinx_comments even where that extension is left out.
    app.add_config_value("comments_config", {}, "", dict)
    app.connect("builder-inited", read_in_parallel)
    app.connect("config-inited", name_assets, priority=100)  # Sphinx converts the lists at 800
    app.connect("builder-inited", place_late_styles)
    app.connect("html-page-context", note_page)
    # Another process may write a page, and what it notes is lost.
    app.connect("doctree-resolved", lambda app, _, docname: note_page(app, docname))
    app.connect("html-page-context", escape_titles, priority=900)  # after the theme sets them
    app.connect("env-updated", write_all_if_contents_changed)
    app.connect("env-before-read-docs", forget_what_is_read_anew)
    app.connect("builder-inited", spare_what_is_known, priority=999)
    app.connect("env-get-outdated", note_what_is_gone)
    app.connect("env-before-read-docs", note_what_is_read)
    app.connect("html-collect-pages", forget_lost_words)
    app.connect("env-check-consistency", forget_until_finished)
    when_written(app, check_pages, also="singlehtml")
    when_written(app, remove_leftovers)
    app.connect("build-finished", remember_when_finished)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
