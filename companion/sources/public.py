"""Public files of others: the address and checksum of each, and how it is downloaded.

``data/artifacts.yaml`` lists every file with its repository, commit, sha256, size and licence, and
the mirrors that are tried in turn when its origin has it no more. A file is used only if its
checksum holds, whoever sent it. Nothing is opened here: reading a file, and never by
unpickling it, is the caller's business.

Environment variables:

``COMPANION_MIRROR``
    A folder with copies laid out as ``<owner>/<repository>/<path>``, used in place.
``COMPANION_CACHE``
    Where downloads are kept, instead of the operating system's cache folder.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Annotated
from urllib.parse import quote, urlsplit

from pydantic import Field, PositiveInt, ValidationError

from analysis.base.files import about_disk, sha256_of
from analysis.base.roots import ROOT, ArtifactError
from analysis.base.strict import Sha256, Strict, read_yaml
from analysis.base.texts import suggestion

CATALOGUE = ROOT / "data" / "artifacts.yaml"
HOST = "https://raw.githubusercontent.com"
#: Seconds without a byte after which a download counts as failed.
TIMEOUT = 30
#: A download that brings fewer bytes in so many seconds is stopped.
SLOW, WITHIN = 10_000, 60
#: How often a download is tried again before the next address.
RETRIES = 2


class Artifact(Strict):
    """One public file at one commit."""

    name: str
    repository: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")]
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    path: Annotated[str, Field(pattern=r"^(\w[\w+.-]*/)*\w[\w+. -]*$")]
    sha256: Sha256
    bytes: PositiveInt
    licence: str
    citation: str
    what: str
    mirrors: tuple[Annotated[str, Field(pattern="^https://")], ...] = ()

    @property
    def place(self) -> str:
        """Where a download is kept, below the cache folder."""
        return f"{self.repository}/{self.commit}/{self.path}"

    @property
    def url(self) -> str:
        """Address of the file's content at its origin."""
        return f"{HOST}/{quote(self.place)}"

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the file's content, to be tried in turn: the origin's, then mirrors'.

        A mirror's has ``{repository}``, ``{commit}``, ``{path}`` or ``{sha256}`` in it.
        """
        parts = {**dict(self), "path": quote(self.path)}
        return (self.url, *(mirror.format(**parts) for mirror in self.mirrors))


def load_catalogue(path: Path = CATALOGUE) -> dict[str, Artifact]:
    """Read the list of artefacts, by name, in the file's order; ArtifactError if it is wrong."""
    content = read_yaml(path, ArtifactError)
    try:
        mirrors = content.get("mirrors", [])
        artifacts = [  # its own mirrors first: they hold this very file
            Artifact(**file, **{**source, "mirrors": [*source.get("mirrors", []), *mirrors]})
            for source in content["sources"]
            for file in source.pop("files")
        ]
    except (ValidationError, TypeError, KeyError, AttributeError) as error:
        raise ArtifactError(
            f"{path.name} is not a list of artefacts as expected: {' '.join(str(error).split())}"
        ) from None
    catalogue = {artifact.name: artifact for artifact in artifacts}
    if len(catalogue) != len(artifacts):
        raise ArtifactError(f"{path.name} gives one artefact name twice: make the names differ.")
    return catalogue


def artifact(name: str) -> Artifact:
    """Return the description of one artefact; ArtifactError if the name is unknown."""
    catalogue = _catalogue()
    if name not in catalogue:
        raise ArtifactError(f"unknown artefact {name!r}: {suggestion(name, catalogue)}.")
    return catalogue[name]


def fetch(name: str, *, progress: bool = False) -> Path:
    """Return the path of a checked copy of an artefact, downloading it if necessary.

    The mirror folder, the cache and the network are tried in turn. Raises ArtifactError if none has
    the file, or if a file does not have the expected checksum; a failed download leaves nothing
    behind.
    """
    wanted = artifact(name)
    return _from_mirror(wanted) or _from_cache_or_network(wanted, progress)


def fetch_all(names: Iterable[str] | None = None, *, progress: bool = False) -> dict[str, Path]:
    """Fetch several artefacts (all of them by default) and return their paths by name.

    Unknown names are refused before anything is downloaded.
    """
    wanted = list(_catalogue()) if names is None else [artifact(name).name for name in names]
    return {name: fetch(name, progress=progress) for name in wanted}


def cache_folder() -> Path:
    """Return the folder that keeps downloads: ``COMPANION_CACHE``, else the system's cache."""
    import pooch

    kept = os.environ.get("COMPANION_CACHE") or pooch.os_cache("interpreting-clip-companion")
    return Path(kept).expanduser()


@lru_cache(maxsize=1)
def _catalogue() -> dict[str, Artifact]:
    return load_catalogue()


def _from_mirror(wanted: Artifact) -> Path | None:
    setting = os.environ.get("COMPANION_MIRROR")
    if not setting:
        return None
    folder = Path(setting).expanduser()
    if not folder.is_dir():
        raise ArtifactError(
            f"COMPANION_MIRROR is {setting!r}, which is not a folder: set it to a folder of copies "
            "laid out as <owner>/<repository>/<path>, or unset it."
        )
    path = folder / wanted.repository / wanted.path
    if path.is_file() and sha256_of(path) != wanted.sha256:
        raise ArtifactError(
            f"the copy of {wanted.name} at {path} has another checksum than expected, and "
            f"{path.stat().st_size} of {wanted.bytes} bytes: replace it by {wanted.url}, or remove "
            "it so that it is downloaded."
        )
    return path if path.is_file() else None


def _from_cache_or_network(wanted: Artifact, progress: bool) -> Path:
    import pooch

    registry = {wanted.place: f"sha256:{wanted.sha256}"}
    download = partial(_download, most=wanted.bytes, progress=progress)
    failed: dict[str, str] = {}
    pooch.get_logger().setLevel("WARNING")  # its remarks would stand in executed notebooks
    for url in wanted.urls:
        downloads = pooch.create(
            cache_folder(), "", registry=registry, urls={wanted.place: url}, retry_if_failed=RETRIES
        )
        try:
            return Path(downloads.fetch(wanted.place, downloader=download))
        except OSError as error:  # all that requests raises is one, without a number
            # Of a folder that it may not write to, pooch tells in words of its own.
            number = errno.EACCES if isinstance(error, PermissionError) else error.errno
            if number:
                refused = OSError(number, os.strerror(number))
                raise ArtifactError(
                    f"{wanted.name} cannot be kept in {cache_folder()}. {about_disk(refused)} "
                    "COMPANION_CACHE names another folder."
                ) from None
            reason = " ".join(str(error).split()).partition(" for url")[0]
            if not 0 < len(reason) < 100:  # connection errors spell out every layer below them
                reason = type(error).__name__
            failed[url] = reason
        except ValueError:  # pooch's word for a checksum that does not hold; it keeps nothing
            failed[url] = "its checksum differs; nothing was kept"
    raise _not_found(wanted, failed)


class _StoppedError(OSError):
    """What a server sends is not the file, or comes too slowly."""


def _download(url: str, file: str, _: object, *, most: int, progress: bool) -> None:
    """Write what an address gives, for pooch; _StoppedError beyond ``most`` bytes, or if `SLOW`."""
    import requests
    import urllib3
    from tqdm import tqdm

    plain = {"Accept-Encoding": "identity"}
    with (
        requests.get(url, stream=True, timeout=TIMEOUT, headers=plain) as response,
        Path(file).open("wb") as out,
        tqdm(total=most, unit="B", unit_scale=True, disable=not progress) as bar,
    ):
        response.raise_for_status()
        since, before = time.monotonic(), 0
        try:
            while chunk := response.raw.read1(65_536):
                out.write(chunk)
                bar.update(len(chunk))
                if out.tell() > most:
                    raise _StoppedError(f"it sends more than the file's {most:,} bytes")
                if time.monotonic() - since > WITHIN:
                    if out.tell() - before < SLOW:
                        raise _StoppedError(f"fewer than {SLOW:,} bytes in {WITHIN} seconds")
                    since, before = time.monotonic(), out.tell()
        except urllib3.exceptions.HTTPError as error:  # cut, or silent
            raise requests.exceptions.ConnectionError(error) from None


def _not_found(wanted: Artifact, failed: Mapping[str, str]) -> ArtifactError:
    """The sentence that says why each address failed."""
    (origin, why), *others = failed.items()
    mirrors = "".join(f", nor from {urlsplit(url).netloc} ({reason})" for url, reason in others)
    return ArtifactError(
        f"{wanted.name} is not on this machine and could not be downloaded from {origin} "
        f"({why}){mirrors}: go online and run `companion fetch {wanted.name}`, or set "
        f"COMPANION_MIRROR to a folder that holds it as {wanted.repository}/{wanted.path}."
    )
