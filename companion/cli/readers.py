"""Families that readers add: a checkpoint described, loaded once, checked, and written down.

A family file is written only after its model was loaded and found to be what the file says. Only
families of the edition ``reader`` are written or removed here, in full each time; the book's own
are edited by hand.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pandas as pd
import yaml
from pydantic import TypeAdapter, ValidationError

from analysis.base.files import write_text
from analysis.base.roots import WORKSPACE
from analysis.base.strict import Name, checked
from analysis.base.texts import suggestion
from analysis.families.registry import (
    FAMILIES,
    ZOO,
    Edition,
    Family,
    HeadKind,
    Level,
    Model,
    load_families,
    load_family,
)
from analysis.features import store
from analysis.images.imagenet import prompts_for
from companion.checkpoints import names
from companion.engine.experiments import RunError
from companion.engine.jobs import alone
from companion.measurements import atlas, records
from companion.runs.options import SaidOfCheckpoint, Wish

#: Reader families come after the book's own.
FIRST_ORDER = 100
HEADER = """# Added by `companion add`, which writes this file again when it adds to the family.
# `companion remove {name}` takes the family out again.
"""


class AddError(RunError):
    """A family cannot be added or removed; nothing was changed."""


def add(wish: Wish, folder: Path = FAMILIES) -> tuple[Family, Model, Path]:
    """Describe a checkpoint, load and check it, and write its family file or add to it.

    Returns the family, the model in it, and the file. Raises AddError, RegistryError or
    `analysis.features.encoders.ModelError` in one sentence; then nothing was written.
    """
    check_name(wish.name)
    check_name(wish.model or f"{wish.name}-supervised", "model")  # the longest
    _existing(wish, wish.model or "", folder)
    model = _checked(_described(wish, wish.level))
    path = folder / f"{wish.name}.yaml"
    with alone("a change of the families"):  # what came meanwhile counts
        family = _family(wish, _existing(wish, model.name, folder), model, folder)
        write_text(path, HEADER.format(name=family.name) + as_yaml(family))
    return family, model, path


def _described(wish: Wish, level: Level | None) -> Model:
    """The requested model, as far as it is known before loading, with the texts of user files."""
    names.check_named(wish.checkpoint, wish.architecture)
    from companion.checkpoints import lookup  # which takes seconds

    given = wish.model_dump(include={"architecture", "head", "pretraining", "layer", "renamed"})
    model = lookup.find(wish.checkpoint, level=level, name="unnamed", **given)
    texts: dict[str, Any] = {}
    if wish.classes is not None:
        texts["classes"] = _texts(wish.classes, "class names")
    if wish.templates is not None:
        texts["templates"] = _texts(wish.templates, "templates")
    elif wish.classes == "imagenet" and model.head != "own":
        texts["templates"] = "imagenet"
    if texts and model.head is None:
        texts["head"] = "zero_shot"
    name = wish.model or f"{wish.name}-{model.level}".removesuffix("-unknown")
    about = {"name": name, "title": _title(wish, model), "published": _published(model)}
    fields = model.model_dump(exclude={"own_title"}) | texts | about
    return checked(Model, fields, wish.checkpoint, AddError)


def _title(wish: Wish, model: Model) -> str:
    """What pages call the model: as the reader says, else as its checkpoint is called."""
    drawn = f"{model.architecture}, random weights" if model.drawn else ""
    name = wish.title or drawn or names.short_name(wish.checkpoint)
    words = " ".join(name.split())
    return f"{words}, before the projection" if model.own_layer else words


def find_or_add(
    checkpoint: str, name: str | None, about: SaidOfCheckpoint, *, with_features: bool
) -> tuple[Family, Model, Path | None]:
    """The family and model of a checkpoint: one that is there, or a new one of the reader's.

    The path is that of a new family's file. Raises AddError, before anything is written, for a
    model without features, if it is to be one ``with_features``.
    """
    default = names.default_name(checkpoint)
    default += "-before-projection" if about.layer else ""
    wish = Wish(name=name or default, checkpoint=checkpoint, **about.model_dump())
    holders = [f for f in load_families().values() if checkpoint in {m.name for m in f.models}]
    there: tuple[Family, Model] | None = None
    if holders and name is None and about.layer is None:
        there = holders[0], holders[0].model(checkpoint)
    else:
        check_name(wish.name)
        if (FAMILIES / f"{wish.name}.yaml").is_file():
            family = load_family(wish.name)
            there = family, _model_of(family, wish)
    if with_features and not (there and records.data_sets(there[1])):
        raise AddError(
            f"the chapter needs features of images, and there are none by {checkpoint}: name "
            "images with --data, a folder or pocket."
        )
    return (*there, None) if there else add(wish)


def _model_of(family: Family, wish: Wish) -> Model:
    """Return the model of a reader's family that is the requested checkpoint, or AddError."""

    def origin(model: Model) -> tuple[str | None, ...]:
        weights = (model.weights or "").partition("@")[0]
        return model.library, model.architecture, weights, model.own_layer

    wanted = origin(_described(wish, wish.level))
    for model in family.models:
        if origin(model) == wanted:
            return model
    raise AddError(
        f"the family {wish.name} exists already and is not of {wish.checkpoint}: give another "
        "--name."
    )


def check_name(name: str, what: str = "family") -> None:
    """Raise AddError if ``name`` cannot name a family or a model."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise AddError(
            f"{name!r} is not a valid name of a {what}: lower-case letters, digits, _ . and - are "
            "expected, 100 at most, starting with a letter."
        ) from None
    if name in get_args(Edition) or name.startswith(f"{ZOO}-"):
        raise AddError(f"{name!r} is the name of an edition of the book: choose another name.")


def _published(model: Model) -> Sequence[object]:
    """The published accuracies of this very checkpoint, if there are any.

    None before the projection: no head was evaluated there.
    """
    if model.own_layer:
        return ()
    tag, published = (model.weights or "").partition("@")[0], atlas.facts()
    key = {"source": model.library, "model": model.architecture, "weights": tag}
    return [key] if published[[*key]].eq(pd.Series(key)).all(axis=1).any() else model.published


def _existing(wish: Wish, name: str, folder: Path) -> Family | None:
    """Return the family as it is; AddError if the wish's names are taken, or not to be used so."""
    families = load_families(folder=folder)
    existing = families.get(wish.name)
    if existing is not None and existing.edition != "reader":
        raise AddError(
            f"{wish.name} is one of the book's own families, which are edited by hand: give "
            "another name."
        )
    if existing is not None and wish.model is None and not wish.replace:
        raise AddError(
            f"there is a family {wish.name} already: give another name, add to the family with "
            "--model MODELNAME, or replace it with --replace."
        )
    others = [f for f in families.values() if not (f.name == wish.name and wish.replace)]
    if holder := next((f.name for f in others if name in {m.name for m in f.models}), None):
        hint = ", or --replace" if holder == wish.name else ""
        raise AddError(
            f"there is a model {name} already, in the family {holder}: give another name with "
            f"--model{hint}."
        )
    return existing


def _texts(source: str, what: str) -> str | tuple[str, ...]:
    """Read one text a line from a UTF-8 file; ``imagenet`` stays as it is."""
    if source == "imagenet":
        return source
    path = Path(source).expanduser()
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise AddError(f"the file of {what} {source} cannot be read: {reason}.") from None
    texts = tuple(line.strip() for line in lines if line.strip())
    if not texts:
        raise AddError(f"the file of {what} {source} is empty: one per line is expected.")
    return texts


def _checked(model: Model) -> Model:
    """Load a described model once, and return it with the checksum and head that were found."""
    from companion.checkpoints import loading

    loaded = loading.load(model)
    kind: HeadKind = "own" if loaded.head else "zero_shot" if loaded.text else "none"
    head = model.head or kind
    sha256 = None if model.drawn else loaded.weights_sha256
    described = model.model_copy(update={"head": head, "weights_sha256": sha256})
    loaded = loading.with_head(replace(loaded, model=described))
    if head == "zero_shot":
        _check_text_encoder(loaded)
    return described


def _check_text_encoder(loaded: Any) -> None:
    """Encode one text: tokenizer and text encoder must work."""
    from analysis.features.encoders import ModelError
    from analysis.features.heads import zero_shot_head

    try:
        zero_shot_head(loaded, prompts_for(("thing",)))
    except ModelError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].removesuffix(".")
        raise AddError(
            f"the text encoder of {loaded.model.architecture} does not work here ({reason}): go "
            "online if its tokenizer is not on this machine, or give --head none."
        ) from None


def _family(wish: Wish, before: Family | None, model: Model, folder: Path) -> Family:
    """The family with the model added or replaced, or a new family."""
    if before is not None and wish.model is not None:
        others = [other for other in before.models if other.name != model.name]
        models, about = (*others, model), dict[str, Any]()
        if len(models) > 1 and before.title in {other.title for other in others}:
            about["title"] = before.name  # no checkpoint is called as another one is
        return before.model_copy(update={"models": models, **about})
    orders = [family.order for family in load_families(folder=folder).values()]
    order = before.order if before else max([FIRST_ORDER - 1, *orders]) + 1
    title = wish.title or (model.title if model.drawn else names.short_name(wish.checkpoint))
    backbone = f"{model.architecture} of {model.library}, added by a reader."
    about = {"name": wish.name, "title": " ".join(title.split()), "edition": "reader"}
    more = {"order": order, "backbone": backbone, "models": [model]}
    return checked(Family, about | more, wish.name, AddError)


def as_yaml(family: Family) -> str:
    """A family file like the book's own: short lists on one line."""
    content = family.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )


def remove(name: str, *, features: bool = False) -> tuple[list[Path], list[Path], list[Path]]:
    """Take a reader's family out: its file, runs and pages, and its features if asked.

    Returns the files that were removed, and what was kept: folders of features, and recorded
    measurements. Raises AddError for one of the book's own families,
    RegistryError for one that does not exist.
    """
    file = FAMILIES / f"{name}.yaml"
    if not file.is_file() and name not in (families := load_families()):
        yours = [other for other, family in families.items() if family.edition == "reader"]
        raise AddError(f"there is no family {name!r} of yours: {suggestion(name, yours)}.")
    family = load_family(name)  # whose removal no other, broken file may prevent
    if family.edition != "reader":
        raise AddError(
            f"{name} is one of the book's own families (edition {family.edition}), which this "
            "command does not remove: it removes only what companion add has added."
        )
    folders = [store.default_folder() / model.name for model in family.models]
    going = [folder for folder in folders if features and folder.is_dir()]
    made = (WORKSPACE / "book").rglob(f"runs/**/{name}.*")
    gone = [file, *(path for path in made if path.stem == name)]  # and not of one called NAME.more
    locks = [lock for folder in going for lock in folder.glob("*.lock")]
    with alone("a change of the families"), store.locked(locks):  # an extraction finishes first
        for folder in going:
            shutil.rmtree(folder)
        for path in gone:
            path.unlink()
    names = (f"*/{model.name}--*.json" for model in family.models)
    recorded = [path for name in names for path in sorted(records.FOLDER.glob(name))]
    return gone, [folder for folder in folders if folder.is_dir()], recorded
