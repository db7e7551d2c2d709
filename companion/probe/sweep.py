"""Many checkpoints of one training on the same images: the command `companion sweep`.

The network is built and the images are decoded once. What was measured of a checkpoint is kept next
to the table, in a folder named after it, so that a call which was stopped, or has more checkpoints,
goes on. Since the images are the same, κ of two checkpoints is compared image by image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from analysis.images.imagelist import ImageList
from analysis.metrics import outliers
from base.files import fingerprint, sha256_of, write_text
from base.quoting import Html, in_html, tag
from companion.measurements import records
from companion.measurements.intervals import of_changes
from companion.probe import judge, measure
from companion.probe.checkpoint import find_images
from companion.probe.measure import ProbeError
from companion.runs.options import Sweeping
from results import policy, single_page, style
from results.svg import inline_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from companion.checkpoints.series import Series

#: Shares of the verdict's frame that the table has, where they were measured.
SHARES = ("four_bits", "four_bits_rotated", "four_bits_less_mean", "four_bits_ranged")
#: What the curves show: the title of a panel, and its columns with their names.
PANELS: dict[str, dict[str, str]] = {
    "activation kurtosis κ": {"kurtosis": "κ"},
    "persistence": {"persistence": "share of images that one coordinate leads"},
    "ten nearest neighbours kept at 4 bits": {
        "four_bits": "as written",
        "four_bits_rotated": "rotated",
        "four_bits_less_mean": "mean subtracted",
    },
}


def checkpoints(given: Sequence[str]) -> list[tuple[float, Path]]:
    """The files that names and patterns mean, with their steps, in the order of these.

    A step is the last number in a file's name; without one it is the file's place. Raises
    ProbeError for what is no file.
    """
    files: dict[Path, None] = {}
    for text in given:
        path = Path(text).expanduser()
        start = Path(path.anchor or ".")
        found = [path] if path.is_file() else [*start.glob(str(path.relative_to(path.anchor)))]
        if not found:
            raise ProbeError(f"{text} is no file of weights, and no file's name is of its form.")
        files |= dict.fromkeys(sorted(found))
    numbers = [re.findall(r"\d+", path.stem) for path in files]
    if not all(numbers):
        return [(float(place), path) for place, path in enumerate(files, 1)]
    return sorted((float(some[-1]), path) for some, path in zip(numbers, files, strict=True))


def sweep(options: Sweeping) -> pd.DataFrame:
    """Measure all checkpoints: a row for each, by step, with changes of κ.

    Raises ProbeError, and what finding images and loading weights raise; what was finished is kept.
    """
    files, images = checkpoints(options.checkpoints), find_images(options.images)
    measure.check_number(len(images))
    folder = options.csv.with_suffix(".parts")
    about = {"images": images.manifest, "architecture": options.architecture}
    about |= records.code_parts("probe")
    kept, series = dict[Path, dict[str, Any]](), None
    for _, path in tqdm(files, unit=" checkpoints", leave=False, disable=None):
        part = folder / f"{fingerprint([about, sha256_of(path)])[:16]}.json"
        if not part.is_file():
            series = series or _series(options, images)
            write_text(part, json.dumps(_measured(series.features(path), path.name)))
        kept[path] = json.loads(part.read_text(encoding="utf-8"))
    rows = [{"step": step, "checkpoint": path.name} | kept[path]["row"] for step, path in files]
    table = pd.DataFrame(rows)
    each = [np.array(kept[path]["kurtosis"]) for _, path in files]
    for name, before in (("first", [each[0]] * len(each)), ("previous", each[:1] + each[:-1])):
        changes = [of_changes(now - then) for now, then in zip(each, before, strict=True)]
        for column, values in zip(("", "_low", "_high"), zip(*changes, strict=True), strict=True):
            table[f"kurtosis_from_{name}{column}"] = values
    return table


def _series(options: Sweeping, images: ImageList) -> Series:
    from companion.checkpoints.series import Series

    return Series(options.architecture, images, options.settings())


def _measured(features: NDArray[np.float32], name: str) -> dict[str, Any]:
    """A checkpoint's row, and κ of each image."""
    found = judge.probe(features, name=name, rows_are_images=True)
    m = found.measurement
    _, low, high = m.kurtosis
    row = {"answer": found.answer, "kurtosis": m.kurtosis.value, "kurtosis_low": low}
    row |= {"kurtosis_high": high, "persistence": float(m.value("persistence_fraction"))}
    row |= {"coordinate": int(m.value("persistence_coordinate"))}
    row |= {"outlier_coordinates": style.listed(m.value("outlier_coordinates"))}
    row |= {name: float(m.value(name)) for name in SHARES if name in m.values}
    kurtosis = outliers.kurtosis(features)
    return {"row": row | {"images": m.counts["images"]}, "kurtosis": kurtosis.tolist()}


def picture(table: pd.DataFrame) -> Figure:
    """The curves over the steps, one panel below the other."""
    there = {title: of for title, of in PANELS.items() if set(of) & set(table)}
    figure, axes = style.panels(there, 1, 1.7, sharex=True)
    for panel, columns in zip(axes.flat, there.values(), strict=True):
        for (name, label), marker in zip(columns.items(), "osD", strict=False):
            if name in table:
                panel.plot(table["step"], table[name], marker=marker, label=label)
        if "kurtosis" in columns:
            ends = table["kurtosis_low"], table["kurtosis_high"]
            panel.fill_between(table["step"], *ends, alpha=0.25, linewidth=0)
            panel.axhline(3, color=style.MUTED, linewidth=1, linestyle=":")
        else:
            panel.set_ylim(-0.05, 1.05)
        if len(columns) > 1:
            panel.legend(frameon=False, fontsize=9)
    axes.flat[-1].set_xlabel("step")
    return figure


def report(table: pd.DataFrame, title: str) -> str:
    """The curves and the table as one page that loads nothing."""
    words = f"κ, persistence and neighbours kept over {len(table)} checkpoints"
    svg = Html(inline_svg(style.to_svg(picture(table)), words))
    rows = Html(table.round(4).to_html(index=False, border=0))
    body = tag("figure", svg) + tag("div", rows, class_="scroll", tabindex="0")
    template = Template(single_page.PAGE.read_text(encoding="utf-8"))
    return template.substitute(title=in_html(title), policy=policy.of_single_page(), body=body)
