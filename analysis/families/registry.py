"""Which models the book looks at: the family files, parsed into typed, frozen objects.

A *family* is one backbone with every model built on it, kept in ``families/<name>.yaml``; a
checkpoint is added as an entry of such a file. This module only reads descriptions. It loads no
weights and imports no torch, so that notebooks can import it quickly.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, ConfigDict, Field, field_validator, model_validator

from analysis.base.roots import ROOT, WORKSPACE
from analysis.base.strict import Name, Plain, Sha256, Strict, Text, Words, checked, parse_yaml
from analysis.base.texts import CompanionError, is_template, plain, suggestion, worded

FAMILIES = WORKSPACE / "families"
#: The book's own, where they lie elsewhere than those that a reader adds.
BOOK = ROOT / "families"
#: Below the other families: those of the edition zoo, which a command writes for this machine.
ZOO = "zoo"

#: How a model came to be, in the order in which every figure and table shows it; `unknown` if
#: nobody said so.
Level = Literal[
    "zero_shot", "captions", "finetuned", "supervised", "self_supervised", "unknown", "random"
]
LEVELS: tuple[Level, ...] = get_args(Level)
LEVEL_TITLES: dict[Level, str] = {
    "zero_shot": "zero-shot",
    "captions": "CLIP on ImageNet-Captions",
    "finetuned": "finetuned",
    "supervised": "supervised",
    "self_supervised": "self-supervised",
    "unknown": "training not known",
    "random": "random weights",
}
#: The levels of models that nobody says were trained.
UNTRAINED: tuple[Level, ...] = ("unknown", "random")
#: The pretraining of a model about which nothing is said; it is never shown.
NOT_STATED = "not stated"
#: Whose a family is: the paper's, the pocket lab's, a reader's, only there for contrast, or of the
#: zoo: every published checkpoint, to be measured and not to have pages of its own.
Edition = Literal["paper", "pocket", "reader", "contrast", "zoo"]


#: What pages call a family or a model, in menus and headings too.
Title = Annotated[str, Field(max_length=120), AfterValidator(plain), AfterValidator(worded)]
Library = Literal["open_clip", "timm"]
Finite = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=-1000, le=1000)]
Positive = Annotated[Finite, Field(gt=0)]
Count = Annotated[int, Field(strict=True, gt=0, le=1_000_000)]
Pixels = Annotated[int, Field(strict=True, gt=0, le=4096)]
#: What computes the features last: CLIP's projection into the space shared with text, a
#: normalisation with a gain for each component, or the mean over positions behind a ReLU.
Layer = Literal["projection", "normalisation", "relu"]
#: Where else than at the encoder's end features may be taken.
OwnLayer = Literal["before_projection", "before_normalisation"]
#: Beginnings of timm's architectures that end in a normalisation, and in a ReLU.
NORMALISED = ("vit_", "deit", "convnext")
RECTIFIED = ("resnet", "tf_efficientnet_lite")
#: Texts of a head: ``imagenet`` for those that OpenAI used.
Texts = Literal["imagenet"] | Annotated[tuple[Text, ...], Field(min_length=1)]
#: Where the classifier comes from: a text encoder, the checkpoint itself, or there is none.
HeadKind = Literal["zero_shot", "own", "none"]
#: Ends of the names of files that hold weights.
PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pth.tar")
WEIGHT_FILES = (*PICKLES, ".safetensors", ".safetensors.index.json")
HUB = "hf-hub:"
#: Before a file of weights whose configuration lies next to it.
LOCAL_DIR = "local-dir:"
#: Before weights that come with an installed Python package: ``package:NAME/PATH``.
PACKAGE = "package:"


def level_title(level: Level, edition: Edition = "paper") -> str:
    """Return a level in words; the pocket lab's captions are not ImageNet's."""
    pocket = edition == "pocket" and level == "captions"
    return "captions of one style" if pocket else LEVEL_TITLES[level]


class RegistryError(CompanionError, ValueError):
    """A family file is wrong or unknown; the message names the file, the field and the reason."""


class Preprocessing(Strict):
    """How an image becomes the encoder's input.

    The shorter edge is resized to ``resize`` pixels (to ``size`` if ``resize`` is not given), a
    square of ``size`` × ``size`` pixels is cut from the centre, and each RGB channel, in [0, 1], is
    normalised with ``mean`` and ``std``. With ``squash`` both edges are resized to ``resize``,
    whatever the picture's shape.
    """

    size: Pixels
    resize: Pixels | None = None
    interpolation: Literal["bicubic", "bilinear", "box"]
    mean: tuple[Finite, Finite, Finite]
    std: tuple[Positive, Positive, Positive]
    squash: bool = False

    @model_validator(mode="after")
    def _crop_fits(self) -> Preprocessing:
        if self.resize is not None and self.resize < self.size:
            raise ValueError(f"resize ({self.resize}) must be at least size ({self.size})")
        return self


class PublishedKey(Strict):
    """Which rows of ``data/published/accuracies.csv`` measured a model.

    ``model`` may be a shell-style pattern such as ``model_*``, for several checkpoints that share
    one description.
    """

    source: Literal["open_clip", "imagenet_testbed", "timm", "model_soups"]
    model: Text
    weights: str = ""


class Model(Strict):
    """One encoder with its head, at one level.

    ``library``, ``architecture`` and ``weights`` are all set, or all absent when the model is known
    but its weights are not public. A ``random`` model needs a library and an architecture only.
    ``width`` is the number of components of the representation that the head sees. A ``title`` is
    given where level and pretraining do not distinguish the models of a family. With ``layer``
    ``before_projection`` the features are what CLIP's vision transformer has before its projection,
    where models finetuned from it end; with ``before_normalisation``, what it has before the layer
    normalisation there, known from others' features alone.

    ``weights_sha256``, where it is noted, must be that of the weights' file. ``renamed`` is of a
    file whose tensors are the library's, in its order, under names of their own. ``head`` says
    where the classifier comes from; without it, it is the checkpoint's own if it has one, else
    zero-shot. ``classes`` are the names of the head's classes, ``imagenet`` for ImageNet's, else
    those of the data set (zero-shot) or of the checkpoint (own). ``templates`` are the texts around
    a name of a zero-shot head, ``imagenet`` for OpenAI's 80. A ``stand_in`` is the nearest public
    model and not the paper's own, whose weights are not public.
    """

    model_config = ConfigDict(serialize_by_alias=True)

    name: Name
    own_title: Title | None = Field(default=None, alias="title")
    level: Level
    library: Library | None = None
    architecture: Words | None = None
    weights: Text | None = None
    weights_sha256: Sha256 | None = None
    renamed: bool = False
    pretraining: Words
    preprocessing: Preprocessing
    width: Count
    head: HeadKind | None = None
    classes: Texts | None = None
    templates: Texts | None = None
    stand_in: bool = False
    own_layer: OwnLayer | None = Field(default=None, alias="layer")
    note: Plain = ""
    published: tuple[PublishedKey, ...] = ()

    @property
    def title(self) -> str:
        """The model in words: its own title, or level, and pretraining where that matters."""
        said = self.level not in ("captions", "random") and self.pretraining != NOT_STATED
        details = f", {self.pretraining}" if said else ""
        details += f", {self.own_layer}".replace("_", " the ") if self.own_layer else ""
        return self.own_title or f"{LEVEL_TITLES[self.level]}{details}"

    @property
    def drawn(self) -> bool:
        """Whether its weights are drawn here, not loaded from a file."""
        return self.level == "random" and self.weights is None

    @property
    def loadable(self) -> bool:
        """Whether a library can build the model today (random models need no weights)."""
        return self.library is not None

    @property
    def layer(self) -> Layer | None:
        """The layer at which features are taken, None if it is not known.

        Kurtosis depends on the basis, so models are comparable at the same kind of layer only.
        open_clip's models end in CLIP's projection, and so do the paper's that cannot be loaded.
        """
        unknown = self.library is None and self.level == "supervised"
        if self.own_layer:
            return "normalisation" if self.own_layer == "before_projection" else None
        if self.library != "timm":
            return None if unknown else "projection"
        name = self.architecture or ""
        if name.startswith(NORMALISED):
            return "normalisation"
        return "relu" if name.startswith(RECTIFIED) else None

    @property
    def is_one(self) -> bool:
        """Whether it is a single checkpoint rather than several with one description."""
        return not any("*" in key.model for key in self.published)

    @property
    def shown_weights(self) -> str:
        """The weights as others may read them: of a file elsewhere on this machine, its name."""
        return shown_weights(self.weights or "")

    @property
    def _drawn_and_noted(self) -> bool:
        return self.drawn and self.weights_sha256 is not None

    @model_validator(mode="after")
    def _is_consistent(self) -> Model:
        _check_shown(self.shown_weights)
        if self.templates is not None and self.head != "zero_shot":
            raise ValueError("templates belong to a zero-shot head: set head to zero_shot")
        if self.classes is not None and self.head not in ("zero_shot", "own"):
            raise ValueError("classes belong to a head: set head to zero_shot or own")
        classes, templates = (
            texts if isinstance(texts, tuple) else () for texts in (self.classes, self.templates)
        )
        if repeated := _repeated(classes) + _repeated(templates):
            raise ValueError(
                f"templates and classes must differ, but {repeated[0]!r} appears more than once"
            )
        if wrong := [text for text in templates if not is_template(text)]:
            raise ValueError(
                f"a template needs one {{}} for the name, and no other braces, got {wrong[0]!r}"
            )
        if self.own_layer == "before_normalisation" and self.library:
            raise ValueError(
                "layer before_normalisation cannot be extracted: leave out library, or the layer"
            )
        if self.own_layer == "before_projection" and (
            self.library != "open_clip" or self.head != "none"
        ):
            raise ValueError(
                "layer before_projection is of open_clip's models: timm's have no projection, "
                "leave layer out; a zero-shot head reads it: before_projection needs head none"
            )
        if self.renamed and self.weights_sha256 is None:
            raise ValueError("renamed needs weights_sha256: the order is known for that file alone")
        given = [value is not None for value in (self.library, self.architecture, self.weights)]
        if self.level == "random" and (given[:2] != [True, True] or self._drawn_and_noted):
            raise ValueError(
                "a random model needs library and architecture; unless it is a file, its weights "
                "are drawn and have no sha256"
            )
        if self.level != "random" and any(given) and not all(given):
            raise ValueError(
                "library, architecture and weights must be all given, or all left out when no "
                "public weights exist"
            )
        return self


class Family(Strict):
    """A backbone and all models built on it."""

    name: Name
    title: Title
    edition: Edition
    order: Annotated[int, Field(strict=True, ge=0, le=1_000_000)]
    backbone: Words
    models: Annotated[tuple[Model, ...], Field(min_length=1)]

    @field_validator("models")
    @classmethod
    def _differ(cls, models: tuple[Model, ...], given: Any) -> tuple[Model, ...]:
        """Titles identify models on pages, so a reader's models with equal ones get their names."""
        if repeated := _repeated(model.name for model in models):
            raise ValueError(f"model names must differ, but {repeated[0]!r} appears more than once")
        equal = _repeated(m.title for m in models) * (given.data.get("edition") == "reader")
        return tuple(
            m.model_copy(update={"own_title": f"{m.title} ({m.name})"}) if m.title in equal else m
            for m in models
        )

    def at_level(self, level: Level) -> tuple[Model, ...]:
        """Return the models at ``level``, in the file's order, each once.

        A second entry that takes the same model's features before the projection does not count as
        another model.
        """
        return tuple(m for m in self.models if m.level == level and not m.own_layer)

    def model(self, name: str) -> Model:
        """Return the model called ``name``; RegistryError with the known names otherwise."""
        models = {model.name: model for model in self.models}
        if name not in models:
            raise RegistryError(
                f"unknown model {name!r} in family {self.name}: {suggestion(name, models)}."
            )
        return models[name]


def family_files(folder: Path = FAMILIES) -> list[Path]:
    """The files of the families in ``folder``, with the book's own where that is the reader's."""
    added = {path.name: path for path in folder.glob("*.yaml")}
    of_book = BOOK.glob("*.yaml") if folder == FAMILIES else ()
    return list(({path.name: path for path in of_book} | added).values())


def load_family(name: str, folder: Path = FAMILIES) -> Family:
    """Read and check ``<folder>/<name>.yaml``, or the zoo's below it.

    Raises RegistryError, in one sentence, if there is no such family or its file is wrong.
    """
    # One after the other, not from a list: a run reads its own family alone.
    places = (folder, *([BOOK] if folder == FAMILIES else []), folder / ZOO)
    for path in (place / f"{name}.yaml" for place in places):
        if path.is_file():
            return parse(path.read_bytes(), path.name)
    names = sorted(file.stem for file in family_files(folder))
    raise RegistryError(f"unknown family {name!r}: {suggestion(name, names)}.")


def load_families(
    edition: Edition | None = None, folder: Path = FAMILIES, *, hide: Collection[Edition] = ()
) -> dict[str, Family]:
    """Read every family file in ``folder``, in the families' ``order``.

    ``edition`` selects one edition, ``hide`` leaves some out; the zoo's families are read only if
    it is named. Model names must differ across families, since features and measurements are filed
    under them; otherwise RegistryError is raised.
    """
    place = folder / ZOO if edition == ZOO else folder
    families = sorted(
        (parse(path.read_bytes(), path.name) for path in family_files(place)),
        key=lambda family: (family.order, family.name),
    )
    repeated = _repeated(model.name for family in families for model in family.models)
    if repeated:
        holders = [f.name for f in families if repeated[0] in {model.name for model in f.models}]
        raise RegistryError(
            f"model name {repeated[0]!r} is used by the families {' and '.join(holders)}: "
            "give each model a name of its own."
        )
    wanted = (f for f in families if edition is None or f.edition == edition)
    return {f.name: f for f in wanted if f.edition not in hide}


def is_file_name(weights: str) -> bool:
    """Whether ``weights`` names a file rather than a tag or a repository of the hub."""
    if weights.startswith(HUB):
        return False
    return "/" in weights or "\\" in weights or weights.endswith(WEIGHT_FILES)


def shown_weights(weights: str) -> str:
    """Return weights as others may read them: a path outside the repository loses its folders."""
    inside = not Path(weights).expanduser().is_absolute() and ":" not in weights
    if not is_file_name(weights) or (inside and ".." not in Path(weights).parts):
        return weights
    return re.split(r"[/\\]", weights)[-1]


def _check_shown(weights: str) -> None:
    """Raise ValueError if the name of a file of weights, which pages show, is more than words."""
    try:
        plain(weights)
    except ValueError as error:
        raise ValueError(f"pages show the name of its weights, and {error}: rename them") from None


def _repeated(names: Iterable[str]) -> list[str]:
    return [name for name, count in Counter(names).items() if count > 1]


@cache  # families are immutable, and reading YAML is slow
def parse(content: str | bytes, file: str) -> Family:
    """Check the content of the family file called ``file``; RegistryError in one sentence."""
    family = checked(Family, parse_yaml(content, file, RegistryError), file, RegistryError)
    if f"{family.name}.yaml" != file:
        raise RegistryError(
            f"{file}: name: the family is called {family.name!r}, but its file must then be "
            f"{family.name}.yaml."
        )
    return family
