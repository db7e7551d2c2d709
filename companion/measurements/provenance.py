"""Numbers and where they come from, put together: from sidecars of the store to a measurement."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from analysis.base.code import version_of
from analysis.families.registry import shown_weights
from companion.measurements.measurement import Origin, Provenance
from companion.sources.sets import LEFT_OUT

#: Where features were taken, as their sidecar says it, in words.
LAYERS: dict[str | None, str] = {
    None: "what the head sees (the encoder's output)",
    "before_projection": "before CLIP's projection (behind the last normalisation)",
    "before_normalisation": "before CLIP's last normalisation and its projection",
}
#: What is said of images of which nothing else is known, before the manifest's checksum.
MANIFEST = "images listed by manifest"
#: How a head is called that came with its model, and not from texts: it may have a bias.
OWN_CLASSIFIER = "the model's own classifier"


def of_sidecars(
    sidecars: Sequence[Mapping[str, Any]],
    made_from: Mapping[str, str],
    head: str = "",
    head_classes: str = "",
) -> Provenance:
    """Carry sidecars of one model's features over: weights, files, layer, settings."""
    first = sidecars[0]
    model, origin = first["model"], first.get("origin", {})
    parts = (model["library"], model["architecture"], shown_weights(model["weights"] or ""))
    files = [{"name": f"features of {s['data']['name']}", "sha256": s["sha256"]} for s in sidecars]
    return Provenance(
        weights=origin.get("weights", " ".join(filter(None, parts))),
        weights_sha256=model["weights_sha256"] or None,
        weights_note=origin.get("weights_note", ""),
        inferred=origin.get("inferred", ""),
        origins=[Origin(name=f["name"], sha256=f["sha256"]) for f in origin.get("files", files)],
        layer=origin.get("layer", LAYERS[model.get("layer")]),
        head=head,
        head_classes=head_classes,
        device=first.get("device", "not known"),
        precision=f"features computed in {first['precision']}, kept as {first['dtype']}; "
        "measured in float64",
        **of_today(made_from),
    )


def of_today(made_from: Mapping[str, str]) -> dict[str, Any]:
    """The part of a `Provenance` on this package, the libraries and the day."""
    return {
        "version": version_of("interpreting-clip-companion"),
        "made_from": dict(made_from),
        "libraries": {"python": platform.python_version(), "numpy": version_of("numpy")},
        "taken": datetime.now(UTC).date().isoformat(),
    }


def about_data(sidecar: Mapping[str, Any]) -> str:
    """Which images a sidecar describes, and how many of them were left out."""
    data = sidecar["data"]
    what = str(data.get("what") or f"{data['name']}, {MANIFEST} {data['manifest']}")
    left_out = len(data.get("left_out") or ())
    return what + f"; {left_out} {LEFT_OUT}" * bool(left_out)


def about_head(sidecar: Mapping[str, Any]) -> str:
    """Where a head comes from, and of how many classes it is."""
    origin, classes = sidecar.get("origin"), len(sidecar["classes"])
    if origin:
        return str(origin["head"])
    prompts = sidecar.get("prompts")
    return (
        f"zero-shot head of {classes} classes, prompts {prompts}"
        if prompts
        else f"{OWN_CLASSIFIER} of {classes} classes"
    )
