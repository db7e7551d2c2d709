"""Data sets as ordered lists of labelled images: the pocket lab's, and any folder of images.

An `ImageList` says which images there are, in which order and with which labels, and has one hash
for all of that; pictures are opened only when they are needed. No torch.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from analysis.base.files import fingerprint, sha256_of
from analysis.base.texts import CompanionError
from analysis.images.pictures import in_rgb

Pixels = NDArray[np.uint8]
#: The images below a folder: the name of each, with / between folders, and the path without links.
_Files = dict[str, str]

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
#: What such files may hold; some of ImageNet's are PNG and called JPEG.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
#: Files that keep their size when other pixels are written into them, since nothing is compressed.
PLAIN = (".bmp", ".ppm", ".tif", ".tiff")
#: For folders of pictures of anything.
PHOTO_TEMPLATES = ("a photo of a {}.",)


class DatasetError(CompanionError, ValueError):
    """A data set is unknown, empty, or not what is expected."""


class DamagedImageError(CompanionError, RuntimeError):
    """An image cannot be decoded; ``key`` is its name."""

    def __init__(self, key: str, reason: str) -> None:
        super().__init__(f"{key}: {reason}")
        self.key = key
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Packed:
    """An image within a larger file, whose ``name`` is for messages.

    ``size``: bytes of it, or of the smallest piece of the file that holds it; distinguishes
    versions.
    """

    path: Path
    name: str
    size: int

    def read(self) -> bytes:
        """Read the bytes that its own file had."""
        raise NotImplementedError


@dataclass(frozen=True)
class Prompts:
    """The material of a zero-shot head: for each class, the name to put into the templates."""

    classes: tuple[str, ...]
    names: tuple[str, ...]
    templates: tuple[str, ...]

    @property
    def sha256(self) -> str:
        """Hash of names and templates, in order."""
        return fingerprint([self.classes, self.names, self.templates])


@dataclass(frozen=True)
class ImageList:
    """An ordered list of (image, label).

    ``images`` are paths, or images within files, or bytes of shape (N, height, width, 3); ``keys``
    name them, in the same order; ``labels`` count through ``classes``, −1 where an image is of none
    of them. Files whose shorter side has fewer pixels than ``smallest_side`` count as damaged.
    ``border`` pixels are cut off every side of an image before anything else, where the set frames
    its images. ``what`` tells the reader which images they are; features keep it.
    """

    name: str
    images: Sequence[str | Path | Packed] | Pixels = field(repr=False)
    keys: tuple[str, ...] = field(repr=False)
    labels: NDArray[np.int64] = field(repr=False)
    classes: tuple[str, ...]
    prompts: Prompts | None = field(default=None, repr=False)
    smallest_side: int = 1
    border: int = 0
    what: str = ""

    def __post_init__(self) -> None:
        if len(set(self.keys)) != len(self.images):
            raise DatasetError(f"{self.name}: two images have the same name.")

    def __len__(self) -> int:
        return len(self.images)

    def image(self, index: int) -> Image.Image:
        """Decode one image to 8-bit RGB, wholly; DamagedImageError with its name when that fails.

        Colours are converted by `pictures.in_rgb`; of animated pictures the first frame is taken; a
        border is cut off.
        """
        source = self.images[index]
        if isinstance(source, np.ndarray):
            return Image.fromarray(source)
        try:
            opened = io.BytesIO(source.read()) if isinstance(source, Packed) else source
            with Image.open(opened, formats=FORMATS) as picture:
                picture.load()
                least, (width, height) = self.smallest_side + 2 * self.border, picture.size
                if min(width, height) < least:
                    raise ValueError(
                        f"{width} × {height} pixels are too few: at least {least} are needed on "
                        "the shorter side"
                    )
                inside = (self.border, self.border, width - self.border, height - self.border)
                return in_rgb(picture).crop(inside) if self.border else in_rgb(picture)
        except (
            OSError,
            ValueError,
            SyntaxError,
            MemoryError,
            Image.DecompressionBombError,
        ) as error:
            name = source.name if isinstance(source, Packed) else Path(source).name
            name, reason = _readable(name), str(error)
            for path in (str(source), repr(str(source))[1:-1]):  # Pillow writes it as Python does
                reason = reason.replace(path, name)
            reason = _readable(reason)
            reason = re.sub(r"<_io\.BytesIO[^>]*>", lambda _: repr(name), reason)
            raise DamagedImageError(self.keys[index], reason) from None

    @cached_property
    def manifest(self) -> str:
        """Hash of names, order, labels, classes, border, and sizes in bytes; of arrays the pixels
        instead, and of files that are not compressed, some PNGs among them, the content.
        """
        if isinstance(self.images, np.ndarray):
            content: object = hashlib.sha256(np.ascontiguousarray(self.images).data).hexdigest()
        else:
            content = [_version(source) for source in self.images]
        border = [self.border] if self.border else []
        return fingerprint([self.keys, self.labels.tolist(), self.classes, content, *border])

    def expect(self, classes: Sequence[str]) -> ImageList:
        """Return the list itself if it has these classes in this order; otherwise DatasetError."""
        if tuple(classes) != self.classes:
            differ = sorted({*classes} ^ {*self.classes})
            raise DatasetError(
                f"{self.name} does not have the {len(classes)} classes that are expected, in their "
                f"order (not in both: {', '.join(differ[:3]) or 'none'})."
            )
        return self


def folder(
    path: Path, *, name: str | None = None, words: Mapping[str, str] | None = None
) -> ImageList:
    """List the images of a folder: one subfolder per class, or all in one without labels.

    Images are in the order of their paths; other files are ignored. ``words`` says what classes are
    called. Without ``name`` the list is called after the folder and its content, so that two
    folders called ``val`` do not get into each other's way. Raises DatasetError.
    """
    if not path.is_dir():
        raise DatasetError(f"{path} is not a folder of images.")
    real, below, loose = path.resolve(), list[str](), _Files()
    for entry in _entries(path):
        if not _is_folder(entry):
            _add(loose, entry.name, entry, real)
        elif not real.is_relative_to(Path(entry.path).resolve()):
            below.append(entry.name)
    if loose and below:
        raise DatasetError(
            f"{path} has images beside subfolders: put every image into the subfolder of its "
            "class, or all into one folder without subfolders."
        )
    parts = [_images_below(path, subfolder) for subfolder in below]
    empty = [subfolder for subfolder, part in zip(below, parts, strict=True) if not part]
    if empty or not (loose or parts):
        raise _without_images(path.joinpath(*empty[:1]))
    labels = [label for label, part in enumerate(parts) for _ in part] or [-1] * len(loose)
    classes = tuple(map(_readable, below))
    return _of_files(
        path,
        name,
        loose or {name: real for part in parts for name, real in part.items()},
        labels=np.array(labels, dtype=np.int64),
        classes=classes,
        prompts=class_prompts(classes, words) if classes else None,
    )


def unlabelled(path: Path, *, smallest_side: int = 8) -> ImageList:
    """List every image in a folder and the folders below it, without labels, by path.

    Other files and hidden ones are ignored. Named after the folder and its content, as `folder`
    does it. Raises DatasetError, saying what is there instead, if there is no image.
    """
    if not path.is_dir():
        raise DatasetError(f"{path} is not a folder: give a folder of images.")
    images = _images_below(path)
    if not images:
        raise _without_images(path)
    labels = np.full(len(images), -1)
    return _of_files(path, None, images, labels=labels, classes=(), smallest_side=smallest_side)


def _without_images(path: Path) -> DatasetError:
    """Say what is in a folder instead, and what was expected."""
    kinds = sorted({p.suffix.lower() or "no suffix" for p in path.rglob("*") if p.is_file()})
    some = ", ".join(kinds[:5])
    return DatasetError(
        f"{path} has no images{f' but files of {some}' if some else ', it is empty'}; images that "
        f"end in {', '.join(SUFFIXES)} are expected."
    )


def _of_files(path: Path, name: str | None, files: _Files, **fields: Any) -> ImageList:
    """List files under their names below a folder; named after it and them if there is no name."""
    keys = tuple(map(_readable, files))
    names: dict[str, str] = {}
    for key, real in zip(keys, files.values(), strict=True):
        if (other := names.setdefault(real, key)) != key:
            raise DatasetError(
                f"{key} and {other} are one file, which would count twice: remove the link."
            )
    images = [f"{path}/{file}" for file in files]
    listed = ImageList(name=name or path.name, images=images, keys=keys, **fields)
    return listed if name else called_after(path, listed)


def called_after(path: Path, listed: ImageList) -> ImageList:
    """Return a list under the name of its folder and its content."""
    slug = re.sub(r"[^a-z0-9]+", "-", path.resolve().name.lower()).strip("-") or "folder"
    named = replace(listed, name=f"{slug[:80]}-{listed.manifest[:8]}")
    vars(named)["manifest"] = listed.manifest  # the name is no part of it
    return named


def is_image(name: str) -> bool:
    """Whether a file is called as images are, and not hidden."""
    return name[0] != "." and name[name.rfind(".") :].lower() in SUFFIXES


def _images_below(path: Path, subfolder: str = "") -> _Files:
    """All images in a folder and below it, through links, but for hidden ones, by path.

    Links are followed after all else, and each real folder is looked into once, so that an image
    has one name; links to a folder above are left out. Of a file the folder's entry is enough:
    each job of a grid lists hundreds of thousands.
    """
    files = _Files()
    seen: set[Path] = set()
    folders: list[str] = [subfolder]
    linked: list[str] = []
    while folders or linked:
        here = folders.pop() if folders else linked.pop(0)
        real = (path / here).resolve()
        if real in seen:
            continue
        seen.add(real)
        for entry in _entries(path / here):
            name = f"{here}/{entry.name}" if here else entry.name
            if not _is_folder(entry):
                _add(files, name, entry, real)
            elif not entry.is_symlink():
                folders.append(name)
            elif not real.is_relative_to(Path(entry.path).resolve()):
                linked.append(name)
    return {name: files[name] for name in sorted(files, key=lambda name: name.replace("/", "\0"))}


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder by name, but for what is hidden."""
    with os.scandir(folder) as listing:
        shown = (entry for entry in listing if entry.name[0] != ".")
        return sorted(shown, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one; a link to itself is none."""
    return Path(entry.path).is_dir() if entry.is_symlink() else entry.is_dir()


def _add(files: _Files, name: str, entry: os.DirEntry[str], folder: Path) -> None:
    """Add an entry of a real folder to files if it is called as images are.

    Raises DatasetError if it is no file.
    """
    if not is_image(entry.name):
        return
    linked = entry.is_symlink()
    if not (Path(entry.path).is_file() if linked else entry.is_file()):
        raise DatasetError(
            f"{_readable(entry.path)} is no file, perhaps a link to nothing: put the image there, "
            "or remove the name."
        )
    files[name] = os.path.realpath(entry.path) if linked else f"{folder}/{entry.name}"


def _readable(name: str) -> str:
    """A file's name with \\x… for what is no UTF-8, so that it can be written down."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _version(source: str | Path | Packed) -> int | str:
    """A key that distinguishes versions of an image with the same name."""
    if isinstance(source, Packed):
        return source.size
    size = os.stat(source).st_size  # noqa: PTH116 - to make a path takes longer than to look
    name = os.fspath(source).lower()
    plain = name.endswith(PLAIN) or (name.endswith(".png") and size >= _pixels_of_png(Path(source)))
    return sha256_of(Path(source)) if plain else size


def _pixels_of_png(path: Path) -> float:
    """How many bytes the rows of a PNG take before they are compressed, by its header.

    A file of that size keeps it whatever is in them.
    """
    with path.open("rb") as file:
        start = file.read(26)
    if start[:8] != b"\x89PNG\r\n\x1a\n" or len(start) < 26:
        return float("inf")
    width, height = (int.from_bytes(start[at : at + 4], "big") for at in (16, 20))
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(start[25], 1)
    return height * (1 + width * channels * start[24] / 8)


def class_prompts(classes: Sequence[str], words: Mapping[str, str] | None = None) -> Prompts:
    """Return prompts for names of classes, in `PHOTO_TEMPLATES`.

    ``_`` and ``-`` are read as spaces; ``words`` says what a class is called where that differs.
    """
    names = tuple(
        (words or {}).get(name) or re.sub(r"[_-]+", " ", name).strip() or name for name in classes
    )
    return Prompts(tuple(classes), names, PHOTO_TEMPLATES)
