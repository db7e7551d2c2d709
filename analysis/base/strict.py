"""Strict models, and the YAML that fills them: what is wrong is said in one sentence."""

from __future__ import annotations

import re
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from analysis.base.quoting import LONGEST_TEXT, in_short, quoted
from analysis.base.texts import CompanionError, plain, worded

#: What Windows keeps for devices: no file there is called so, whatever its ending.
DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def no_device(name: str) -> str:
    """The name of a file; ValueError for one that Windows cannot have.

    >>> no_device("console")
    'console'
    """
    if DEVICES.fullmatch(name):
        raise ValueError(f"{name!r} is a device's name on Windows, where no file can have it")
    return name


#: Names become file names: letters, digits, ``_``, ``-`` and ``.``, starting with a letter.
Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_.-]*$", max_length=100), AfterValidator(no_device)
]
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
#: What pages show as it stands: no markup and no control character gets in, so none is to be
#: escaped.
Plain = Annotated[str, AfterValidator(plain)]
Words = Annotated[Plain, Field(min_length=1), AfterValidator(worded)]


class Strict(BaseModel):
    """An immutable model in which an unknown field is an error rather than ignored."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


S = TypeVar("S", bound=Strict)


def checked(
    kind: type[S], content: object, file: str, error: type[CompanionError] = CompanionError
) -> S:
    """What a file holds, as a strict model; ``error`` names the file, the field and the reason."""
    try:
        return kind.model_validate(content)
    except ValidationError as wrong:
        raise error(f"{file}: {first_reason(wrong)}.") from None


def read_yaml(path: Path, error: type[CompanionError] = CompanionError) -> Any:
    """What a YAML file holds; ``error``, in one sentence, if that is not YAML."""
    return parse_yaml(path.read_bytes(), path.name, error)


def parse_yaml(content: str | bytes, file: str, error: type[CompanionError]) -> Any:
    """What YAML says, by PyYAML's parser in C where it has one; ``error`` names file and line."""
    try:
        return yaml.load(content, Loader=_UniqueKeyLoader)
    except Exception as wrong:  # of many kinds, by the tags that a file gives to its values
        mark = getattr(wrong, "problem_mark", None)
        place = f"line {mark.line + 1}: " if mark else ""
        problem = str(getattr(wrong, "problem", None) or wrong).splitlines()[0]
        if isinstance(wrong, LookupError | AttributeError):
            problem = "a value is not what its tag says"
        raise error(f"{file}: {place}the file is not readable as YAML ({problem}).") from None


class _UniqueKeyLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML as usual, but a key given twice is an error instead of silently the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Build a mapping; ConstructorError at the second of two equal keys."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            # A merged anchor may be overridden and appear more than once.
            if key.tag != "tag:yaml.org,2002:merge":
                seen.add(key.value)
        return dict(super().construct_mapping(node, deep=deep))


def _field(name: object) -> str:
    """The name of a field, in one line: a file may have given it."""
    return " ".join(in_short(name).split())


def first_reason(error: ValidationError) -> str:
    """Return ``field.path[index]: reason (got …)`` of the first problem, and how many follow.

    What is wrong of the whole, and of no field, is the reason alone.
    """
    errors = error.errors(include_url=False)
    # pydantic calls a list too short, too, whose entries are wrong
    problems = [problem for problem in errors if problem["type"] != "too_short"] or errors
    first = problems[0]
    path = "".join(f"[{n}]" if isinstance(n, int) else f".{_field(n)}" for n in first["loc"])
    field = path.removeprefix(".")
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if first["type"] not in {"missing", "value_error", "extra_forbidden"}:
        reason += f", got {quoted(first['input'])}"
    more = len(problems) - 1
    start = f"{field}: " if field else ""
    return start + reason + (f" (and {more} more to correct)" if more else "")
