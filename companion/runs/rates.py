"""How fast extractions were, wherever they ran: a table that jobs add to.

It lies beside the state of the book, in a folder that a cluster's machines share. A rate counts an
image once for each model. The loading of weights is noted apart, or a small set would look slow,
and so is the most memory that the process has taken so far, its networks in it.
"""

from __future__ import annotations

import csv
import io
import os
import platform
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.families.registry import Model
from analysis.features import store
from analysis.images.imagelist import ImageList
from results.jobs import STATE

if TYPE_CHECKING:  # loads PyTorch
    from analysis.features.encoders import Loaded, Loader

FILE = STATE / "rates.csv"


class Rate(NamedTuple):
    """One extraction: `images` through each of `models` in `seconds`, on one device.

    ``loading``: the seconds besides in which weights were loaded, 0 in lines of earlier versions,
    whose seconds have them; ``memory``: of the process at its largest (MB), 0 where that is not
    known.
    """

    when: str
    machine: str
    device: str
    precision: str
    data: str
    models: tuple[str, ...]
    images: int
    seconds: float
    loading: float = 0.0
    memory: int = 0

    @property
    def encoded(self) -> int:
        """How many images were encoded, each once for each model."""
        return self.images * len(self.models)

    def __str__(self) -> str:
        models = f"{len(self.models)} models" if len(self.models) > 1 else self.models[0]
        memory = f"; {self.memory / 1000:,.1f} GB" if self.memory else ""
        rate = self.encoded / self.seconds
        return (
            f"{self.data}: {rate:,.{0 if rate >= 10 else 1}f} images per second ({models}; "
            f"{self.device} of {self.machine}{memory})"
        )


@contextmanager
def noted(models: Sequence[Model], lists: Sequence[ImageList], load: Loader) -> Iterator[Loader]:
    """Note the rate of an extraction that goes on meanwhile, if it made any features.

    It is to load its networks by what this gives, which is `load` with a watch.
    """
    began, start, loading = time(), monotonic(), 0.0

    def watched(*given: Any, **named: Any) -> Loaded:
        nonlocal loading
        before = monotonic()
        try:
            return load(*given, **named)
        finally:
            loading += monotonic() - before

    yield watched
    made: dict[str, list[tuple[str, dict[str, object]]]] = {}
    for images in lists:
        for model in models:
            path = store.features_path(model.name, images.name)
            with suppress(OSError, store.StoreError):
                if store.sidecar_of(path).stat().st_mtime >= began:
                    sidecar = store.read_sidecar(path)
                    if "kept" not in sidecar:
                        made.setdefault(images.name, []).append((model.name, dict(sidecar)))
    each = {images.name: len(images) for images in lists}
    seconds = monotonic() - start - loading
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
            loading * share,
            peak_memory(),
        )
        _add(rate)


def peak_memory() -> int:
    """The most memory that this process has taken so far (MB), 0 where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)


def _add(rate: Rate) -> None:
    """Add a line in one writing, which other machines do not come in between."""
    text = io.StringIO()
    row = [*rate[:5], " ".join(rate.models), rate.images, f"{rate.seconds:.3f}"]
    row += [f"{rate.loading:.3f}", rate.memory]
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
                when, machine, device, precision, data, models, images, seconds, *more = row
                loading, memory = more or (0, 0)  # as earlier versions wrote
                about, some = (when, machine, device, precision, data), tuple(models.split())
                taken = int(images), float(seconds), float(loading), int(memory)
                rate = Rate(*about, some, *taken)
                found += [rate] if rate.models and rate.encoded > 0 < rate.seconds else []
    return found


def last_of(models: Collection[str], precision: str, among: Sequence[Rate]) -> Rate | None:
    """The newest rate of some of the models, in this precision."""
    wanted = {*models}
    fitting = (rate for rate in reversed(among) if not wanted.isdisjoint(rate.models))
    return next((rate for rate in fitting if rate.precision == precision), None)


def hours(
    models: Collection[str], encoded: int, precision: str, among: Sequence[Rate]
) -> float | None:
    """How long it takes to encode so many images at their last rate; None if there is none."""
    rate = last_of(models, precision, among)
    return encoded * rate.seconds / rate.encoded / 3600 if rate else None
