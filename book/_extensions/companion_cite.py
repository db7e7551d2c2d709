"""Sphinx extension: results to cite, and to take along.

Below each figure and table that a run published stands a menu: its data, the drawing, how to cite
it, its code, the command that makes it again; and beside it, what in the paper it bears on
(`data/counterparts.yaml`). The files are written into the built book, under `results/`. Figures and
tables of chapters are numbered within their chapter, those of a run's page by its family, so that a
family which comes or goes changes no other number.
"""

from __future__ import annotations

import base64
import html
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # this checkout's `analysis`, whichever one is installed
from analysis.families.registry import load_families  # noqa: E402
from companion.claims.counterparts import borne_on, load_counterparts  # noqa: E402
from companion.publish.svg import plain  # noqa: E402
from companion.runs.experiments import NOTEBOOKS, OUTPUTS  # noqa: E402
from companion.runs.keys import code_version  # noqa: E402

FOLDER = "results"
#: What an output holds → how its file's name ends.
ENDINGS = {
    "text/csv": "csv", "application/json": "json", "image/svg+xml": "svg", "image/png": "png",
}  # fmt: skip
KINDS = ("figure", "table", "explorer")
counterparts = cache(load_counterparts)  # read once a build, not for every result

Numbers = dict[str, dict[str, dict[str, tuple[Any, ...]]]]


class result_menu(nodes.General, nodes.Element):  # noqa: N801 - docutils' way to name nodes
    """The menu below a result: `reference` and what `menu` found out about it."""


def menu(
    reference: str, about: Mapping[str, Any], output: Mapping[str, Any], config: Config
) -> Any:
    """The node below a result; ``about`` is what the executed notebook notes of its run."""
    note, code = output["metadata"]["companion"], code_version(about["made_from"])
    items, claims = borne_on(counterparts(), reference)
    return result_menu(
        reference=reference,
        items=[(item.id, item.place) for item in items],
        claims=claims,
        kind=note["kind"],
        endings=[end for kind, end in ENDINGS.items() if kind in output["data"]],
        rows=output["data"].get("text/csv", "").count("\n") - 1,
        bibtex=bibtex(reference, note, code, config),
        code=code,
    )


def bibtex(reference: str, note: Mapping[str, str], code: str, config: Config) -> str:
    """How to cite a result: by its name, which stays, and the hash of the code that made it."""
    title = plain(note.get("caption", reference)).split(". ")[0].rstrip(".")
    fields = {
        "author": "{" + _tex(config.author) + "}",
        "title": "{" + _tex(title) + "}",
        "howpublished": _tex(f"{note['kind'].capitalize()} {reference} in: {config.html_title}"),
        "year": config.copyright.split(",")[0],
        "note": f"Code {code}"
        + (f", evidence: {kinds}" if (kinds := note.get("evidence")) else ""),
    }
    lines = "".join(f"  {name:12} = {{{text}}},\n" for name, text in fields.items())
    key = "-".join(("companion", reference.replace("/", "-").replace("#", "-"), code))
    return f"@misc{{{key},\n{lines}}}\n"


def _tex(text: str) -> str:
    """Text with the characters masked that TeX takes for commands."""
    return "".join(f"\\{c}" if c in "%&#_$" else c for c in text)


def write_menu(writer: Any, node: result_menu) -> None:
    """The menu as HTML, with links to the files; nothing in books of another form."""
    builder = writer.builder
    if builder.name != "html":
        raise nodes.SkipNode
    up = builder.get_relative_uri(builder.current_docname, "index").removesuffix("index.html")
    run, _, label = node["reference"].partition("#")
    experiment, subject = run.split("/")
    at = f"{up}{FOLDER}/{run}/{label}"
    links = {end: f'<a href="{at}.{end}">{end.upper()}</a>' for end in node["endings"]}
    drawing = " · ".join(links[end] for end in ("svg", "png") if end in links)
    data = " · ".join(links[end] for end in ("csv", "json") if end in links)
    source = f'<a href="{up}{FOLDER}/{experiment}.py">notebooks/{experiment}.py</a>'
    page = f"runs/{run}"
    if page in builder.env.found_docs and page != builder.current_docname:
        uri = builder.get_relative_uri(builder.current_docname, page)
        source += f' · <a href="{uri}">its page</a>'
    entries = {
        "Data": data + f", {node['rows']} row{'s' * (node['rows'] > 1)}" * (node["rows"] > 0)
        if data
        else "",
        "Figure": drawing,
        "Cite": f'<code>{node["reference"]}</code> · <a href="{at}.bib">BibTeX</a>'
        f"<pre>{html.escape(node['bibtex'])}</pre>",
        "Code": f"{source}, version <code>{node['code']}</code>",
        "Run": f"<code>companion run {experiment} {subject}</code>",
    }
    listed = "".join(f"<dt>{k}</dt><dd>{v}</dd>" for k, v in entries.items() if v)
    told = ", ".join(name.lower() for name, entry in entries.items() if entry)
    writer.body.append(
        f'<div class="companion-menu"><details><summary>{told.capitalize()}'
        f'<span class="visually-hidden"> of {node["reference"]}</span></summary>'
        f"<dl>{listed}</dl></details>{_borne_on(builder, node)}</div>\n"
    )
    raise nodes.SkipNode


def _borne_on(builder: Any, node: result_menu) -> str:
    """Links to what a result stands beside in the paper, and to the claims that it bears on."""
    pages = {
        name: builder.get_relative_uri(builder.current_docname, f"appendix/{name}")
        for name in ("paper", "claims")
        if f"appendix/{name}" in builder.env.found_docs
    }
    links = [f'<a href="{pages["paper"]}#paper-{name}">{html.escape(place)}</a>'
             for name, place in node["items"] if "paper" in pages]  # fmt: skip
    links += [f'<a href="{pages["claims"]}#claim-{name.lower()}">{name}</a>'
              for name in node["claims"] if "claims" in pages]  # fmt: skip
    return f"<p>In the paper: {', '.join(links)}</p>" if links else ""


def leave_out(writer: Any, node: nodes.Element) -> None:
    """Where there are no files beside the text."""
    raise nodes.SkipNode


#: How a node is written that only pages in HTML have.
OTHER_BOOKS = dict.fromkeys(("latex", "text", "man", "texinfo"), (leave_out, None))


def write_files(app: Sphinx, exception: Exception | None) -> None:
    """Write the files of all results, where they have changed, and remove those of no result."""
    if exception is not None or app.builder.name != "html":
        return
    folder = Path(app.outdir) / FOLDER
    wanted: dict[Path, bytes] = {}
    for path in sorted(OUTPUTS.glob("*/*.ipynb")):
        run = path.relative_to(OUTPUTS).with_suffix("").as_posix()
        wanted |= {folder / run / name: text for name, text in files(path, run, app.config)}
        source = NOTEBOOKS / f"{path.parent.name}.py"
        wanted[folder / source.name] = source.read_bytes()
    for path, content in wanted.items():
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    for path in sorted(folder.rglob("*"), reverse=True):  # what a folder holds, before the folder
        if path.is_file() and path not in wanted:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def files(path: Path, run: str, config: Config) -> Iterable[tuple[str, bytes]]:
    """Name and content of the files of all results of an executed notebook."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = code_version(notebook["metadata"]["companion"]["made_from"])
    for output in (o for cell in notebook["cells"] for o in cell.get("outputs", [])):
        note = output.get("metadata", {}).get("companion", {})
        if note.get("kind") not in KINDS:
            continue
        for kind, end in ENDINGS.items():
            if kind in output["data"]:
                yield f"{note['label']}.{end}", _content(output["data"][kind], end, note)
        reference = f"{run}#{note['label']}"
        yield f"{note['label']}.bib", bibtex(reference, note, code, config).encode()


def _content(text: str, end: str, note: Mapping[str, str]) -> bytes:
    """What stands in a file; a drawing that stands alone says itself what it shows."""
    if end == "png":
        return base64.b64decode(text)
    if end == "svg":
        opening, rest = text[: text.index("<svg")], text[text.index("<svg") :]
        tag, rest = rest[: rest.index(">") + 1], rest[rest.index(">") + 1 :]
        text = f"{opening}{tag}<title>{html.escape(note['alt'])}</title>{rest}"
    return text.encode()


def number_by_family(numbers: Numbers, titles: Mapping[str, str]) -> Numbers:
    """Figures and tables of the runs' pages as (chapter, family, 1, 2, …), others as they are.

    ``numbers``: page → kind → anchor → number, pages in the book's order; ``titles`` of families.
    """
    counts = Counter[tuple[Any, ...]]()
    found: Numbers = {}
    for page, kinds in numbers.items():
        found[page] = kinds
        if page.count("/") == 2 and page.startswith("runs/"):
            subject = page.rpartition("/")[2]
            found[page] = {}
            for kind, places in kinds.items():
                for anchor, number in places.items():
                    own = (*number[:-1], titles.get(subject, subject))
                    counts[kind, own] += 1
                    found[page].setdefault(kind, {})[anchor] = (*own, counts[kind, own])
    return found


def take_numbers_back(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Show Sphinx the numbers that it gave, so that it sees which change."""
    env.toc_fignumbers = getattr(env, "companion_numbers", env.toc_fignumbers)
    return []


def give_numbers(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number the runs' pages by family, after Sphinx has numbered everything."""
    titles = {name: family.title for name, family in load_families().items()}
    env.companion_numbers = env.toc_fignumbers  # type: ignore[attr-defined]
    env.toc_fignumbers = number_by_family(env.toc_fignumbers, titles)
    return []


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension."""
    app.add_node(result_menu, html=(write_menu, None), **OTHER_BOOKS)
    app.connect("env-get-updated", take_numbers_back, priority=100)
    app.connect("env-get-updated", give_numbers, priority=900)  # Sphinx numbers at 500
    app.connect("build-finished", write_files)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
