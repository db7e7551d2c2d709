"""Probes of features in the store, or of a file, and what a report says about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.base.roots import ROOT
from analysis.base.texts import CompanionError, as_words, suggestion
from analysis.families.registry import Family, Model, level_title, load_families, load_family
from analysis.features import store
from companion.checks.relations import coherence
from companion.engine.cells import cell
from companion.engine.downloads import tex
from companion.engine.style import digits, items, listed, share
from companion.measurements import provenance, records
from companion.measurements.measurement import Data, Measurement, Provenance
from companion.probe import judge, measure
from companion.probe.facts import SENTENCES, title_of, values_of
from companion.probe.judge import Probe, known_models
from companion.probe.measure import ProbeError

#: Names in `Provenance.made_from` of what a report lists besides.
LEFT_OUT, FOLDER_TYPED, COMMAND = "images left out", "folder", "command"
#: What a checkpoint is compared with: title → model and images.
REFERENCES = {
    "CLIP ViT-B/16": ("vit_b_16-openai", "coco_500_images"),
    "untrained ViT-B/16": ("vit_b_16-random", "coco_500_images"),
}
#: What the notes of a report are about.
REASON, CAUTION, NOTE, PLACE = "why", "to keep in mind", "checkpoint", "place"
STORAGE = "storage"


def of_store(
    model: Model,
    data: str,
    folder: Path | None = None,
    typed: Mapping[str, str] | None = None,
    first: Callable[[Probe], None] = lambda judged: None,
) -> Probe:
    """Probe the features of a data set by a model, with the head next to them if there is one.

    ``first`` gets the verdict before the head is decomposed. Raises StoreError if the features are
    not there or not sound, ProbeError if there are too few.
    """
    kept = store.read_features(store.features_path(model.name, data, folder), model)
    path = store.head_path(model.name, data, folder)
    head = store.read_head(path, model).weight if path.is_file() else None
    what = Data(name=data, what=provenance.about_data(kept.sidecar))
    source, known = _source(kept.sidecar, model, typed or {}), known_models()

    def judged_first(m: Measurement) -> None:
        first(judge.place(m, known))

    about = (model.name, model.level, what, source, judged_first)
    try:
        m = measure.measured(kept.features, head, *about)
    except ValueError as error:
        raise ProbeError(f"{model.name} cannot be probed: {error}") from None
    return judge.place(m, known)


def _source(sidecar: Mapping[str, Any], model: Model, typed: Mapping[str, str]) -> Provenance:
    """Where numbers come from, according to features, settings and the command line."""
    left_out = sidecar["data"].get("left_out") or {}
    named = {
        LEFT_OUT: "; ".join(f"{name}: {why}" for name, why in left_out.items()),
        **typed,
        "features": sidecar["sha256"],
    }
    made_from = {name: as_words(text) for name, text in named.items() if text}
    whole = provenance.of_sidecars([sidecar], {**made_from, **records.version_parts("probe")})
    notes = " ".join(filter(None, [whole.weights_note, model.note]))
    libraries = whole.libraries | sidecar.get("versions", {})
    return whole.model_copy(update={"weights_note": notes, "libraries": libraries})


def of_family(family: Family, data: str = "") -> tuple[dict[str, Probe], list[Model], list[str]]:
    """Probe a family's models on one data set, the first that the store has if none is named.

    Returns the probes by the models' titles, the models without features, and what was wrong with
    the features of others.
    """
    probes, missing, failed = {}, [], []
    for model in family.models:
        data_sets = records.data_sets(model)
        wanted = data or next(iter(data_sets), "")
        if wanted not in data_sets:
            missing.append(model)
            continue
        try:
            named = {measure.CHECKPOINT: model.title} if family.edition == "reader" else {}
            probes[model.title] = of_store(model, wanted, typed=named)
        except (ProbeError, store.StoreError) as error:
            failed.append(str(error))
    return probes, missing, failed


def check_data(family: str, data: str) -> None:
    """Raise ProbeError if no model of a family has features of a data set; "" is any."""
    known = sorted({name for m in load_family(family).models for name in records.data_sets(m)})
    if data and data not in known:
        raise ProbeError(
            f"the store has no features of {data!r} by a model of {family}: "
            f"{suggestion(data, known)}; `companion extract {family}` brings more."
        )


def check_numbers(_: str, file: str) -> None:
    """Raise CompanionError if a file, of any family, is none that `companion probe` wrote."""
    if file:
        of_file(ROOT / file)


def of_file(path: Path) -> Probe:
    """Judge again what `companion probe --json` wrote; CompanionError if it is something else."""
    m = records.parse(path)
    if m.experiment != "probe":
        raise CompanionError(
            f"{path} holds {m.experiment}, not a probe: make one with companion probe --json."
        )
    for wrong in coherence(m):
        raise CompanionError(f"{path}: {wrong} Probe the checkpoint again.")
    return judge.place(m, known_models())


# What a report says


def summary(judged: Probe) -> str:
    """The main numbers behind a verdict, and the cautions, as plain text."""
    numbers = [*judged.lines(), judged.place]
    left_out = left_out_of(judged)
    numbers += [f"{judged.measurement.data.what}: {left_out}"] if left_out else []
    cautions = [text for about, text in notes(judged) if about in (CAUTION, NOTE)]
    parts = [[f"  - {line}" for line in numbers], [f"- {c}" for c in cautions]]
    parts += [[f"{judged.storage} {SENTENCES['storage']['more']}"]] if judged.storage else []
    return "\n\n".join("\n".join(part) for part in parts)


def left_out_of(judged: Probe) -> str:
    """Which images were left out, and why; "" if none was."""
    return judged.measurement.provenance.made_from.get(LEFT_OUT, "")


def notes(judged: Probe) -> list[tuple[str, str]]:
    """The reasons for a verdict, the cautions, and what is known about the checkpoint."""
    note = judged.measurement.provenance.weights_note
    return [
        *((REASON, reason) for reason in judged.reasons),
        *((CAUTION, caution) for caution in judged.cautions),
        *([(NOTE, f"Note on the checkpoint: {note}")] if note else []),
        (PLACE, judged.place),
        *([(STORAGE, judged.storage)] if judged.storage else []),
    ]


def facts(judged: Probe) -> list[tuple[str, str]]:
    """Where the model and the images of a probe come from, and the command that repeats it."""
    m = judged.measurement
    source, typed = m.provenance, m.provenance.made_from
    named = {
        "checkpoint": title_of(m),
        "weights": source.weights,
        "sha256 of the weights": source.weights_sha256 or "not known",
        "images": f"{m.counts['images']} of {typed.get(FOLDER_TYPED, m.data.name)}",
        "left out": left_out_of(judged),
        "date": source.taken,
        "arithmetic": f"{source.precision}; on {source.device}",
        "versions": ", ".join(f"{k} {v}" for k, v in source.libraries.items()),
        "again": typed.get(COMMAND, ""),
    }
    return [(name, fact) for name, fact in named.items() if fact]


def said_of(
    probes: Mapping[str, Probe], said: Callable[[Probe], Iterable[tuple[str, str]]]
) -> pd.DataFrame:
    """Texts about probes, by title: each once, with the probes it is about, unless about all."""
    rows = [(*row, key) for key, judged in probes.items() for row in said(judged)]
    frame = pd.DataFrame(rows, columns=["about", "what", "model"])
    frame = frame.groupby(["about", "what"], sort=False)["model"].agg("; ".join).reset_index()
    frame["model"] = frame["model"].replace("; ".join(probes), "all models")
    frame = frame.sort_values("about", kind="stable", key=lambda about: pd.factorize(about)[0])
    return frame if len(probes) > 1 else frame.drop(columns="model")


def as_lists(rows: pd.DataFrame) -> str:
    """What `said_of` gives, as lists (MyST): of all probes first, then of each."""
    if "model" not in rows:
        return items(rows["what"])
    rows = rows.sort_values("model", kind="stable", key=lambda title: title != "all models")
    texts = rows.groupby("model", sort=False)["what"].agg(items)
    return "\n\n".join(f"**{title}**\n\n{text}" for title, text in texts.items())


def references() -> dict[str, Measurement]:
    """What a checkpoint is shown next to: recorded of CLIP, and of random weights."""
    known = {(m.model, m.data.name): m for m in known_models()}
    return {title: known[key] for title, key in REFERENCES.items() if key in known}


def five_numbers(probes: Mapping[str, Probe]) -> list[dict[str, Any]]:
    """A row of a verdict's numbers for each probe, and for each model of the `references`.

    ``answer``: of several probes each one's verdict.
    """
    rows = [
        {
            "model": f"**{key}**",
            "how_trained": level_in_words(p.measurement),
            "answer": p.answer if len(probes) > 1 else None,
        }
        | values_of(p.measurement)
        for key, p in probes.items()
    ]
    for key, m in references().items():
        row = {name: m.value(name) for name in ("kurtosis_mean", "persistence_fraction")}
        named = listed(m.value("outlier_coordinates"))
        row |= {"interval": m.kurtosis[1:], "named": named, "layer": _layer(m), **m.counts}
        rows.append({"model": key, "how_trained": level_in_words(m), "answer": None} | row)
    return rows


def level_in_words(m: Measurement) -> str | None:
    """A model's level in words; None where nobody said it."""
    family = load_families().get(m.family)
    edition = family.edition if family else "reader"
    return None if m.level == "unknown" else level_title(m.level, edition)


def latex(judged: Probe) -> str:
    """A row for a table in LaTeX, below a comment that names its columns."""
    m = judged.measurement
    row = values_of(m)
    cells = {
        "model": title_of(m),
        "kappa (95 % interval)": cell(
            "{kurtosis_mean:digits} ({interval[0]:digits} to {interval[1]:digits})", row
        ),
        "images": f"{m.counts['images']}",
        "outlier coordinates": row["named"],
        "persistence": share(row["persistence_fraction"]).replace("\N{NO-BREAK SPACE}", "~"),
        "last layer": row["layer"],
        "outlier features": judged.answer,
    }
    return f"% {' & '.join(cells)}\n{' & '.join(map(tex, cells.values()))} \\\\"


def among_recorded(probes: Mapping[str, Probe], alike: bool = True) -> pd.DataFrame:
    """Probes, by title in bold, among recorded models, by falling κ.

    ``alike``: among those whose last layer is of the same kind, or else the others alone.
    """
    measured = {f"**{key}**": judged.measurement for key, judged in probes.items()}
    names, kinds = {m.model for m in measured.values()}, {*map(_layer, measured.values())}
    known = [m for m in known_models() if m.model not in names and (_layer(m) in kinds) == alike]
    rows = [*(measured.items() if alike else ()), *((m.model, m) for m in known)]
    rows.sort(key=lambda row: row[1].value("kurtosis_mean"), reverse=True)
    return pd.DataFrame(
        {
            "model": name,
            "κ": digits(m.value("kurtosis_mean")),
            "persistence": share(m.value("persistence_fraction")),
            "last layer": _layer(m),
            "level": level_in_words(m) or "",
            "images": "images" if name in measured else m.data.title,
        }
        for name, m in rows
    )


def _layer(m: Measurement) -> str:
    """The kind of last layer, as far as any measurement of outlier features says it."""
    return "signed" if m.value("negative_share") > 0 else "not signed"
