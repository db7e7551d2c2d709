"""How fast extractions were, wherever they ran: a table that jobs add to.

It lies beside the state of the book, in a folder that a cluster's machines share. A rate counts an
image once for each model, and the time includes the loading of weights.
"""

from __future__ import annotations

import csv
import io
import os
import platform
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from typing import NamedTuple

from analysis.families.registry import Model
from analysis.features import store
from analysis.images.imagelist import ImageList
from results.jobs import STATE

FILE = STATE / "rates.csv"


class Rate(NamedTuple):
    """One extraction: `images` through each of `models` in `seconds`, on one device."""

    when: str
    machine: str
    device: str
    precision: str
    data: str
    models: tuple[str, ...]
    images: int
    seconds: float

    @property
    def encoded(self) -> int:
        """How many images were encoded, each once for each model."""
        return self.images * len(self.models)

    def __str__(self) -> str:
        models = f"{len(self.models)} models" if len(self.models) > 1 else self.models[0]
        return (
            f"{self.data}: {self.encoded / self.seconds:,.0f} images per second ({models}; "
            f"{self.device} of {self.machine})"
        )


@contextmanager
def noted(models: Sequence[Model], lists: Sequence[ImageList]) -> Iterator[None]:
    """Note the rate of an extraction that goes on meanwhile, if it made any features."""
    began, start = time(), monotonic()
    yield
    made: dict[str, list[tuple[str, dict[str, object]]]] = {}
    for images in lists:
        for model in models:
            path = store.features_path(model.name, images.name)
            with suppress(OSError, store.StoreError):
                if store.sidecar_of(path).stat().st_mtime >= began:
                    sidecar = store.read_sidecar(path)
                    if "kept" not in sidecar:
                        made.setdefault(images.name, []).append((model.name, dict(sidecar)))
    each, seconds = {images.name: len(images) for images in lists}, monotonic() - start
    whole = sum(each[name] * len(rows) for name, rows in made.items())
    for name, rows in made.items():
        about = rows[0][1]
        share = each[name] * len(rows) / whole
        rate = Rate(
            datetime.now(UTC).isoformat(timespec="seconds"),
            platform.node(),
            str(about["device"]),
            str(about["precision"]),
            name,
            tuple(model for model, _ in rows),
            each[name],
            seconds * share,
        )
        _add(rate)


def _add(rate: Rate) -> None:
    """Add a line in one writing, which other machines do not come in between."""
    text = io.StringIO()
    row = [*rate[:5], " ".join(rate.models), rate.images, f"{rate.seconds:.3f}"]
    csv.writer(text, lineterminator="\n").writerow(row)
    FILE.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(FILE, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o644)
    try:
        os.write(handle, text.getvalue().encode())
    finally:
        os.close(handle)


def read(file: Path | None = None) -> list[Rate]:
    """All rates, the oldest first; a line that is no rate is passed over."""
    found = []
    with suppress(OSError), (file or FILE).open(encoding="utf-8", newline="") as lines:
        for row in csv.reader(lines):
            with suppress(ValueError):
                when, machine, device, precision, data, models, images, seconds = row
                some = tuple(models.split())
                rate = Rate(
                    when, machine, device, precision, data, some, int(images), float(seconds)
                )
                found += [rate] if rate.models and rate.encoded > 0 < rate.seconds else []
    return found


def last_of(models: Collection[str], precision: str, among: Sequence[Rate]) -> Rate | None:
    """The newest rate of some of the models, in this precision."""
    fitting = (rate for rate in reversed(among) if {*rate.models} & {*models})
    return next((rate for rate in fitting if rate.precision == precision), None)


def hours(
    models: Collection[str], encoded: int, precision: str, among: Sequence[Rate]
) -> float | None:
    """How long it takes to encode so many images at their last rate; None if there is none."""
    rate = last_of(models, precision, among)
    return encoded * rate.seconds / rate.encoded / 3600 if rate else None
