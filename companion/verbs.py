"""What a command is, and options that several of them share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from companion.runs.options import (
    chapter_names,
    experiment_names,
    family_names,
    option,
    reader_names,
)

Experiment = Annotated[str, option("a notebook's name", placed=True, names=experiment_names)]
FamilyName = Annotated[str, option("a family", placed=True, names=family_names)]
Chapter = Annotated[str, option("a notebook's name", placed=True, names=chapter_names)]
ReaderFamily = Annotated[str, option("a family of yours", placed=True, names=reader_names)]
Quiet = Annotated[bool, option("no progress", short="-q")]
Json = Annotated[bool, option("machine-readable", flag="--json")]


@dataclass(frozen=True)
class Verb:
    """A command: the function that does it, with examples; ``needs`` is what takes torch.

    ``extras`` are those of this package that it then takes; ``placed`` are options given by their
    place, of models that do not say so; ``checkout`` says that it works in one alone.
    """

    do: Callable[..., int]
    examples: tuple[str, ...]
    needs: str = ""
    placed: tuple[str, ...] = ()
    extras: str = "extract"
    checkout: bool = False


VERBS: dict[str, Verb] = {}


def verb(*examples: str, **more: Any) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a command of a function; its parameters are its options, or models of some."""

    def register(do: Callable[..., int]) -> Callable[..., int]:
        VERBS[do.__name__] = Verb(do, examples, **more)
        return do

    return register
