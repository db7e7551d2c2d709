"""A `Probe` for people: one self-contained HTML page, and a summary for the terminal.

The page loads nothing: figures are inline SVG, the style sheet is part of it, and a content
security policy says so to the browser.
"""

from __future__ import annotations

import contextlib
import os
import textwrap
from collections.abc import Iterable, Mapping
from html import escape
from itertools import starmap
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.metrics.directions import PRIVILEGED_THRESHOLD
from analysis.metrics.outliers import OUTLIER_THRESHOLD
from companion.probe import KURTOSIS_THRESHOLD, RULES, Answer, Probe, ProbeError, named, percent
from companion.publish import charts
from companion.publish import probe_figures as drawn
from companion.publish.style import Drawing, to_svg
from companion.publish.svg import inline_svg
from companion.publish.words import digits

PAPER = "https://arxiv.org/abs/2310.13040"
HEADINGS: dict[Answer, str] = {
    "shows": "Shows outlier features",
    "none": "Shows no outlier features",
    "cannot tell": "Cannot tell",
}
CAPTIONS = {
    "kurtosis": "The activation kurtosis of single images. Vertical lines: the Gaussian's 3, the "
    f"{KURTOSIS_THRESHOLD:g} from which κ counts as far above it here (dashed).",
    "profile": "How large each coordinate is on average over images, relative to the mean "
    f"coordinate (1, thin line). Dashed: {OUTLIER_THRESHOLD:g}, from where one is an outlier.",
    "sample": "The first images (rows) at some coordinates (columns): left of the line those of "
    "the highest profile, right of it others spread over the rest. An outlier feature is a column "
    "that is far from zero in every image.",
    "importance": "How strongly the head reads each of its directions, relative to the mean (1, "
    f"thin line). Dotted line: {PRIVILEGED_THRESHOLD:g}, from where a direction counts as "
    "privileged. Dashed curve: once the head's mean row is subtracted, which predicts the same "
    "classes.",
}
STYLE = """
:root { color-scheme: light dark; --companion-ink: #1f2328; --companion-muted: #57606a;
  --companion-grid: #d8dee4; --companion-paper: #ffffff; --soft: #f4f6f8; --link: #0b5cad;
  --mark: #57606a; }
@media (prefers-color-scheme: dark) { :root { --companion-ink: #e6edf3; --companion-muted: #9aa7b4;
  --companion-grid: #343b44; --companion-paper: #14181d; --soft: #1c2228; --link: #7cb8f5;
  --mark: #9aa7b4; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--companion-paper); color: var(--companion-ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 50rem; margin: 0 auto; padding: 1.5rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0; overflow-wrap: anywhere; }
h2 { font-size: 1.25rem; margin: 2.6rem 0 .6rem; }
p, ul { margin: .6rem 0; } ul { padding-left: 1.25rem; } li { margin: .25rem 0; }
a { color: var(--link); }
.kind { color: var(--companion-muted); margin: 0 0 .2rem; }
.verdict { border: 1px solid var(--companion-grid); border-left: .4rem solid var(--mark);
  background: var(--soft); border-radius: .4rem; padding: .9rem 1.1rem; margin: 1.3rem 0; }
.verdict h2 { margin: 0 0 .3rem; } .verdict p { margin: .4rem 0; }
.verdict ul { color: var(--companion-muted); }
.shows { --mark: #1f83c4; } .none { --mark: #7d7d7d; } .cannot-tell { --mark: #c77700; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { margin-bottom: 1rem; border-collapse: collapse; width: 100%; font-size: .94rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .9rem .4rem 0;
  border-bottom: 1px solid var(--companion-grid); }
thead th { color: var(--companion-muted); font-weight: 600; }
tbody th { font-weight: 600; } tr.own > * { background: var(--soft); }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; }
figure { margin: 1.4rem 0 2rem; } figure svg { width: 100%; min-width: 27rem; height: auto; }
figcaption { color: var(--companion-muted); font-size: .92rem; }
code, pre { font-family: ui-monospace, "DejaVu Sans Mono", Consolas, monospace; font-size: .88rem; }
td code { overflow-wrap: anywhere; }
pre { background: var(--soft); border-radius: .4rem; padding: .8rem 1rem; white-space: pre-wrap;
  overflow-wrap: anywhere; }
"""


def page(found: Probe) -> str:
    """The report: verdict, numbers, pictures, place among recorded models, how it was computed."""
    title = f"Probe of {found.name}"
    body = "\n".join(
        [
            f'<p class="kind">Probe of a checkpoint</p>\n<h1>{escape(found.name)}</h1>',
            _verdict(found),
            f"<h2>What was measured</h2>\n{_table(drawn.measured(found), 'What was measured')}",
            _list(found.verdict.reasons),
            f"<p>{escape(found.layer.comparison)}</p>",
            f"<h2>Pictures</h2>\n{_pictures(found)}",
            f"<h2>Among the recorded models</h2>\n<p>{escape(drawn.place_in_words(found))}</p>",
            _table(drawn.among_recorded(found), "Recorded models by falling κ", own="(this one)"),
            f"<h2>How the verdict is reached</h2>\n<p>{escape(RULES)}</p>\n{_reading()}",
            f"<h2>How it was computed</h2>\n{_provenance(found.about)}",
        ]
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def summary(found: Probe) -> str:
    """The verdict and the main numbers as plain text."""
    k, head = found.kurtosis, found.head
    lines = [
        f"κ {digits(k.mean)}, 95 % interval {digits(k.interval.low)} to "
        f"{digits(k.interval.high)} (a Gaussian gives 3)",
        f"outlier coordinates: {named(found)}; coordinate {found.leader} is the largest in "
        f"{percent(found.persistence.fraction)} of the images",
        f"last layer: {found.layer.kind}",
        "head: none" if head is None else
        f"head: {head.privileged} of {head.directions} directions privileged, the most important "
        f"{digits(head.top)} times the mean",
        f"images: {found.images}, {found.images_needed} give κ to ± 5 %"
        + _also(found.about.get("left_out", {})),
        drawn.place_in_words(found),
    ]  # fmt: skip
    verdict = textwrap.fill(found.verdict.sentence, 92)
    own = found.verdict.cautions
    parts = [
        verdict,
        "",
        *(_bullet("  ", line) for line in lines),
        "",
        *(_bullet("", c) for c in own),
    ]
    return "\n".join(parts)


def check_writable(path: Path) -> None:
    """Raise ProbeError, before anything is computed, if a file cannot be written there later."""
    if path.is_dir():
        raise ProbeError(f"{path} is a folder: give the name of the file to write.")
    if not path.parent.is_dir():
        raise ProbeError(f"there is no folder {path.parent} to write {path.name} into: make it.")
    try:
        with _beside(path).open("xb"):
            pass
    except OSError as error:
        raise ProbeError(
            f"{path.name} cannot be written into {path.parent} ({error.strerror}): give another "
            "folder, or the right to write there."
        ) from None
    finally:
        _remove(_beside(path))


def write(path: Path, text: str) -> None:
    """Write a text, beside and renamed; ProbeError, with `path` as it was, if that fails."""
    beside = _beside(path)
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.replace(path)
    except OSError as error:
        raise ProbeError(
            f"{path} could not be written ({error.strerror or error}): make room, or give another "
            "folder; nothing was left there."
        ) from None
    finally:
        _remove(beside)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # a folder that cannot be written to is being reported
        path.unlink(missing_ok=True)


def _verdict(found: Probe) -> str:
    verdict = found.verdict
    return (
        f'<section class="verdict {verdict.answer.replace(" ", "-")}" aria-label="Verdict">\n'
        f"<h2>{HEADINGS[verdict.answer]}</h2>\n<p>{escape(verdict.sentence)}</p>\n"
        f"{_list(verdict.cautions)}\n</section>"
    )


def _pictures(found: Probe) -> str:
    shown: dict[str, charts.Measured] = {found.name: found}
    drawings = [
        (charts.kurtosis(shown, KURTOSIS_THRESHOLD), CAPTIONS["kurtosis"]),
        (charts.profiles(shown, found.outlier_threshold), CAPTIONS["profile"]),
        (charts.heat_maps(shown), CAPTIONS["sample"]),
    ]
    if found.head is not None:
        drawings.append((charts.importance(shown, found.head.threshold), CAPTIONS["importance"]))
    return "\n".join(starmap(_figure, drawings))


def _figure(drawing: Drawing, caption: str) -> str:
    svg = inline_svg(to_svg(drawing.figure), drawing.alt)
    return (
        f'<figure>\n<div class="scroll" tabindex="0" role="group" aria-label="Figure">{svg}</div>\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>"
    )


def _table(frame: pd.DataFrame, label: str, own: str = "\0") -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in frame.columns)
    rows = []
    for first, *rest in frame.itertuples(index=False):
        cells = "".join(f"<td{_class(value)}>{escape(value)}</td>" for value in rest)
        mark = ' class="own"' if own in first else ""
        rows.append(f'<tr{mark}><th scope="row">{escape(first)}</th>{cells}</tr>')
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>"
    )


def _class(value: str) -> str:
    return ' class="number"' if value[:1].isdigit() and len(value) < 12 else ""


def _list(items: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"


def _reading() -> str:
    return (
        "<p>κ is the activation kurtosis: the features of an image, standardised over their "
        "components, to the fourth power, averaged over components and then over images. "
        "Persistence, the rule about last layers and the privileged directions below are explained "
        f'in the companion to <a href="{PAPER}">Interpreting CLIP</a> (Crabbé et al., 2024). '
        "Privileged directions take no part in the verdict.</p>"
    )


def _provenance(about: Mapping[str, Any]) -> str:
    model, data = about.get("model", {}), about.get("data", {})
    rows = {
        "checkpoint": about.get("checkpoint") or model.get("name", ""),
        "architecture": " ".join(str(model.get(k) or "") for k in ("library", "architecture")),
        "weights": model.get("weights") or "none",
        "sha256 of the weights": model.get("weights_sha256") or "not known",
        "input": _input(model.get("preprocessing", {})),
        "images": f"{data.get('images', '')} of {about.get('folder') or data.get('name', '')}",
        "left out": "; ".join(f"{k}: {why}" for k, why in about.get("left_out", {}).items())
        or "none",
        "arithmetic": f"{about.get('precision', '')} on {about.get('device', '')}; measured in "
        "float64",
        "versions": ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items())
        or "not known",
    }
    body = "\n".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_value(name, str(value))}</td></tr>'
        for name, value in rows.items()
    )
    command = about.get("command", "")
    again = f"<p>To repeat it:</p>\n<pre><code>{escape(command)}</code></pre>" if command else ""
    return f"<table><tbody>\n{body}\n</tbody></table>\n{again}"


def _value(name: str, value: str) -> str:
    code = name in ("checkpoint", "architecture", "weights", "sha256 of the weights")
    return f"<code>{escape(value)}</code>" if code else escape(value)


def _input(spec: Mapping[str, Any]) -> str:
    if not spec:
        return "not known"
    resized = spec.get("resize") or spec["size"]
    return (
        f"shorter side to {resized} pixels ({spec['interpolation']}), the central {spec['size']} × "
        f"{spec['size']} of it; mean {_three(spec['mean'])}, deviation {_three(spec['std'])}"
    )


def _three(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _also(left_out: Mapping[str, str]) -> str:
    return f"; {len(left_out)} left out: {', '.join(left_out)}" if left_out else ""


def _bullet(indent: str, text: str) -> str:
    return textwrap.fill(text, 92, initial_indent=f"{indent}- ", subsequent_indent=f"{indent}  ")
