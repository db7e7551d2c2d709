"""Families that readers add: a checkpoint described, loaded once, checked, and written down.

A family file is written only after its model was loaded and found to be what the file says; it is
written beside and renamed, so that there is a whole file or none. Only families of the edition
``reader`` are written or removed here; the book's own are edited by hand.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from analysis.common import ROOT, Name
from analysis.families import registry
from analysis.families.registry import (
    FAMILIES,
    HUB,
    Edition,
    Family,
    HeadKind,
    Level,
    Model,
    load_families,
    load_family,
)
from analysis.features import store
from companion.runs import experiments
from companion.runs.experiments import RunError

#: Names that Windows gives to devices, whatever their ending.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?")
LONGEST_NAME = 80
#: Reader families come after the book's own.
FIRST_ORDER = 100
HEADER = """# Added by `companion add`; edit it as any family file.
# `companion remove {name}` takes the family out again.
"""


class AddError(RunError):
    """A family cannot be added or removed; nothing was changed."""


@dataclass(frozen=True)
class Wish:
    """What a reader asks for: a checkpoint, and what is not to be guessed about it.

    ``classes`` and ``templates`` are ``imagenet`` or the path of a text file, one entry a line.
    """

    name: str
    checkpoint: str
    architecture: str | None = None
    level: Level | None = None
    title: str | None = None
    model: str | None = None
    head: HeadKind | None = None
    classes: str | None = None
    templates: str | None = None
    pretraining: str | None = None
    replace: bool = False


@dataclass(frozen=True)
class Added:
    """The file that was written, the model in it, and what a reader should know about it."""

    path: Path
    family: Family
    model: Model
    notes: tuple[str, ...]


def add(wish: Wish, folder: Path = FAMILIES) -> Added:
    """Describe a checkpoint, load and check it, and write its family file or add to it.

    Raises AddError, RegistryError or `analysis.features.encoders.ModelError` in one sentence; then nothing
    was written.
    """
    from analysis.features import checkpoints

    check_name(wish.name)
    check_name(wish.model or f"{wish.name}-x", "model")
    before = _existing(wish, folder)
    described = checkpoints.find(
        wish.checkpoint, architecture=wish.architecture, level=wish.level, head=wish.head,
        pretraining=wish.pretraining, name="unnamed",
    )  # fmt: skip
    name = wish.model or f"{wish.name}-{described.level}"
    _check_names_free(name, wish, folder)
    model, notes = _checked(_with_texts(described.model_copy(update={"name": name}), wish))
    with _writing(folder / f"{wish.name}.yaml"):
        if _existing(wish, folder) != before:
            raise AddError(
                f"the family {wish.name} was written by another process meanwhile: look at "
                "companion status, and call again."
            )
        _check_names_free(name, wish, folder)
        return _write(wish, before, model, notes, folder)


def check_name(name: str, what: str = "family") -> None:
    """Raise AddError if ``name`` cannot name a family or a model on every system."""
    try:
        TypeAdapter(Name).validate_python(name)
    except ValidationError:
        raise AddError(
            f"{name!r} is not a valid name of a {what}: lower-case letters, digits, _ . and - are "
            "expected, starting with a letter."
        ) from None
    if DEVICES.fullmatch(name) or name.endswith("."):
        raise AddError(
            f"{name!r} cannot be the name of a {what}, because Windows has no file of that name: "
            "choose another."
        )
    if len(name) > LONGEST_NAME:
        raise AddError(
            f"the name {name[:20]}… has {len(name)} characters, {LONGEST_NAME} at most are "
            f"expected: choose a shorter one for the {what}."
        )
    if name in get_args(Edition):
        raise AddError(f"{name!r} is the name of an edition of the book: choose another name.")


def holder(model: str) -> Family | None:
    """Return the family that has the model of that name, if there is one."""
    families = load_families().values()
    return next((f for f in families if model in {m.name for m in f.models}), None)


def find_added(wish: Wish) -> Model | None:
    """Return the model of the reader's family ``wish.name`` that is the wished checkpoint.

    None if there is no such family; AddError if the family has no model of that checkpoint.
    """
    from analysis.features import checkpoints

    if not (FAMILIES / f"{wish.name}.yaml").is_file():
        return None
    family = load_family(wish.name)
    level: Level = wish.level or ("random" if wish.checkpoint == "random" else "zero_shot")
    wanted = checkpoints.find(
        wish.checkpoint, architecture=wish.architecture, level=level, name="unnamed"
    )
    for model in family.models:
        if _origin(model) == _origin(wanted):
            return model
    raise AddError(
        f"the family {wish.name} is there already, and is not of {wish.checkpoint}: give another "
        "--name."
    )


def _origin(model: Model) -> tuple[str | None, str | None, str]:
    weights = model.weights or ""
    return model.library, model.architecture, weights.partition("@")[0]


def _existing(wish: Wish, folder: Path) -> Family | None:
    """Return the family as it is; AddError if the wish does not allow it to be there, or not."""
    if not (folder / f"{wish.name}.yaml").is_file():
        return None
    family = load_family(wish.name, folder)
    if family.edition != "reader":
        raise AddError(
            f"{wish.name} is one of the book's own families, which are edited by hand: give "
            "another name."
        )
    if wish.model is None and not wish.replace:
        raise AddError(
            f"there is a family {wish.name} already: give another name, add to the family with "
            "--model MODELNAME, or write it anew with --replace."
        )
    return family


def _check_names_free(name: str, wish: Wish, folder: Path) -> None:
    """Raise AddError if the model's name is taken, or the family's is that of a model."""
    for family in load_families(folder=folder).values():
        own = family.name == wish.name
        names = {model.name for model in family.models}
        if name in names and not (own and wish.replace):
            hint = ", or --replace" if own else ""
            raise AddError(
                f"there is a model {name} already, in the family {family.name}: give another name "
                f"with --model{hint}."
            )


def _with_texts(model: Model, wish: Wish) -> Model:
    """Put class names and templates from the user's files into the description."""
    fields: dict[str, Any] = {}
    if wish.classes is not None:
        fields["classes"] = _texts(wish.classes, "class names")
    if wish.templates is not None:
        fields["templates"] = _texts(wish.templates, "templates")
    elif wish.classes == "imagenet" and model.head != "own":
        fields["templates"] = "imagenet"
    if fields and model.head is None:
        fields["head"] = "zero_shot"
    try:
        return Model.model_validate({**model.model_dump(), **fields})
    except ValidationError as error:
        raise AddError(f"{wish.checkpoint}: {registry.first_reason(error)}.") from None


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
        raise AddError(f"the file of {what} {source} is empty: one a line is expected.")
    return texts


def _checked(model: Model) -> tuple[Model, tuple[str, ...]]:
    """Load a described model once, and return it with what was found: checksum and head."""
    from analysis.features import encoders

    loaded = encoders.load(model)
    kind: HeadKind = "own" if loaded.head else "zero_shot" if loaded.text else "none"
    head = model.head or kind
    sha256 = None if model.level == "random" else loaded.weights_sha256
    found = model.model_copy(update={"head": head, "weights_sha256": sha256})
    loaded = encoders.with_head(replace(loaded, model=found))
    if head == "zero_shot":
        _check_text_encoder(loaded)
    notes = [n[:1].upper() + n[1:] + "." for n in (loaded.read, _activation_note(found)) if n]
    text = " ".join(filter(None, [found.note, *notes]))
    return found.model_copy(update={"note": text}), tuple(notes)


def _check_text_encoder(loaded: Any) -> None:
    """Encode one text: tokenizer and text encoder must work, and fit the image encoder."""
    from analysis.features import encoders
    from analysis.images.find import class_prompts

    try:
        head = encoders.zero_shot_head(loaded, class_prompts(("thing",)))
    except encoders.ModelError:
        raise
    except Exception as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise AddError(
            f"the text encoder of {loaded.model.architecture} does not work here ({reason}): go "
            "online if its tokenizer is not on this machine, or give --head none."
        ) from None
    if head.weight.shape[1] != loaded.model.width:
        raise AddError(
            f"the text encoder gives {head.weight.shape[1]} components, the image encoder "
            f"{loaded.model.width}: give --head none."
        )


def _activation_note(model: Model) -> str:
    """What cannot be checked: a file does not say with which activation it was trained."""
    from analysis.features import encoders

    name = model.architecture or ""
    if model.library != "open_clip" or not registry.is_file_name(model.weights or ""):
        return ""
    quick = name.endswith("-quickgelu")
    other = name.removesuffix("-quickgelu") if quick else f"{name}-quickgelu"
    if other not in encoders.open_clip_architectures():
        return ""
    used, else_used = ("QuickGELU", "GELU") if quick else ("GELU", "QuickGELU")
    return (
        f"the file does not say with which activation it was trained: {name} uses {used}; if it "
        f"was trained with {else_used}, describe it as {other}"
    )


def _write(
    wish: Wish, before: Family | None, model: Model, notes: tuple[str, ...], folder: Path
) -> Added:
    path = folder / f"{wish.name}.yaml"
    appended = before is not None and wish.model is not None
    if before is None or not appended:
        family = _new_family(wish, model, folder)
        text = HEADER.format(name=wish.name) + _yaml(_content(family))
    else:
        others = [m for m in before.models if m.name != model.name]
        family = before.model_copy(update={"models": (*others, model)})
        kept_all = len(others) == len(before.models)
        old = path.read_text(encoding="utf-8")
        text = _appended(old, model) if kept_all else _rewritten(old, family)
    if registry.parse(text, path.name) != family:
        raise AddError(
            f"{path.name} is not laid out so that a model can be added to it: add it by hand, at "
            "the end of `models`."
        )
    _renamed_into_place(path, text, anew=before is None)
    return Added(path, family, model, notes)


def _new_family(wish: Wish, model: Model, folder: Path) -> Family:
    orders = [family.order for family in load_families(folder=folder).values()]
    title = wish.title or _default_title(wish.checkpoint)
    try:
        return Family.model_validate({
            "name": wish.name, "title": " ".join(title.split()), "edition": "reader",
            "order": max([FIRST_ORDER - 1, *orders]) + 1,
            "backbone": f"{model.architecture} of {model.library}, added by a reader.",
            "models": [model],
        })  # fmt: skip
    except ValidationError as error:
        raise AddError(f"{wish.name}: {registry.first_reason(error)}.") from None


def _default_title(checkpoint: str) -> str:
    short = checkpoint.removeprefix(HUB).partition("@")[0]
    if registry.is_file_name(checkpoint) and checkpoint.endswith(registry.WEIGHT_FILES):
        short = Path(re.split(r"[/\\]", checkpoint)[-1]).stem
    return short


def _content(family: Family) -> dict[str, Any]:
    content = family.model_dump(mode="json", exclude_defaults=True)
    return {**content, "models": [_entry(model) for model in family.models]}


def _entry(model: Model) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_defaults=True)


def _yaml(content: object) -> str:
    """Write YAML as the book's own families have it: short lists on one line."""
    return yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )


def _appended(text: str, model: Model) -> str:
    """Return a family file's text with one more model at its end, the rest as it was."""
    found = re.search(r"^( *)- ", text[text.find("\nmodels:") + 1 :], re.M)
    indent = found[1] if found else ""
    lines = _yaml([_entry(model)]).splitlines()
    return text.rstrip("\n") + "\n" + "\n".join(indent + line for line in lines) + "\n"


def _rewritten(old: str, family: Family) -> str:
    """Return the family as text, with the comment that its file began with."""
    comment = re.match(r"(#.*\n)*", old)
    return (comment[0] if comment else "") + _yaml(_content(family))


def _renamed_into_place(path: Path, text: str, *, anew: bool) -> None:
    for left in path.parent.glob(f".{path.name}.*.part"):  # by a process that was killed
        left.unlink(missing_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        if anew and path.exists():
            raise AddError(f"there is a family {path.stem} already: give another name.")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Hold the right to write families; turn what the disk refuses into a sentence."""
    try:
        with store.locked([experiments.STATE / "families"]):
            yield
    except OSError as error:
        raise AddError(
            f"{path.parent.name}/{path.name} cannot be written "
            f"({error.strerror or type(error).__name__}), and nothing was changed: make room, or "
            "allow writing there, and call again."
        ) from None


@dataclass(frozen=True)
class Removed:
    """What of a family was removed, and which folders and files of it were kept."""

    files: tuple[Path, ...]
    features: tuple[Path, ...]
    measurements: tuple[Path, ...]


def features_of(family: Family) -> tuple[Path, ...]:
    """Folders in the store that hold features of the family's models."""
    folders = [store.default_folder() / model.name for model in family.models]
    return tuple(folder for folder in folders if folder.is_dir())


def removable(name: str) -> Family:
    """Return the reader's family of that name; AddError if it is one of the book's own."""
    family = load_family(name)
    if family.edition != "reader":
        raise AddError(
            f"{name} is one of the book's own families (edition {family.edition}), which are not "
            "removed by this command: only what companion add has added is."
        )
    return family


def remove(name: str, *, features: bool = False) -> Removed:
    """Take a reader's family out: its file, runs, state and pages, and its features if asked.

    Recorded measurements are kept and named. Raises AddError or RegistryError.
    """
    family = removable(name)
    kept = features_of(family)
    own = {f"{model.name}--" for model in family.models}
    measured = tuple(
        path
        for path in sorted((ROOT / "data" / "measurements").glob("*/*.json"))
        if any(path.name.startswith(prefix) for prefix in own)
    )
    file = FAMILIES / f"{name}.yaml"
    with _writing(file):
        if features:
            for folder in kept:
                shutil.rmtree(folder)
        file.unlink()
        gone = [file]
        for path in _traces(name):
            path.unlink(missing_ok=True)
            gone.append(path)
    return Removed(tuple(gone), () if features else kept, measured)


def _traces(name: str) -> list[Path]:
    """Everything that was generated for a family: runs, notes on failures, pages."""
    found: list[Path] = []
    for experiment in experiments.load_experiments().values():
        run = experiments.Run(experiment, name)
        built = ROOT / "book" / "_build"
        page = f"runs/{experiment.name}/{name}"
        found += [run.output, run.failure, run.log, built / "html" / f"{page}.html"]
        found += [built / ".doctrees" / f"{page}.doctree"]
        for folder in ("html/_sources", "jupyter_execute"):
            found += (built / folder / "runs" / experiment.name).glob(f"{name}.ipynb*")
    return [path for path in found if path.is_file()]
