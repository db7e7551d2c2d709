"""What a piece of code is made of: the modules it imports, and what each of them does.

Two versions of a module that differ in comments, docstrings or layout alone do the same and have
the same hash. Read from syntax trees: nothing is executed.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from analysis.base.files import write_text
from analysis.base.roots import CODE, PACKAGES, ROOT, SHIPPED

#: Where our modules are: in the checkout, and for another paper's companion in the engine's, too.
PLACES = (PACKAGES,) if PACKAGES == ROOT or ROOT == SHIPPED else (ROOT, PACKAGES)
#: The packages of this repository, and of another paper's companion.
THEIRS = sorted(path.parent.name for path in PLACES[0].glob("*/__init__.py") if PLACES[1:])
OURS = ("analysis", "companion", *THEIRS)
#: Where it is remembered what source texts are made of, which never goes out of date.
MEMORY = (CODE / "analysis/base/__pycache__" if ROOT == SHIPPED else ROOT / ".companion") / "code-1"


def import_closure(source: str) -> dict[Path, str]:
    """Our modules that Python ``source`` imports, directly or not, with their texts, sorted.

    Imports inside functions count. Raises SyntaxError.
    """
    waiting, texts = [*_modules(source)], dict[Path, str]()
    while waiting:
        path = waiting.pop()
        if path not in texts:
            texts[path] = path.read_text(encoding="utf-8")
            waiting += _modules(texts[path])
    return dict(sorted(texts.items()))


@cache
def version_of(library: str) -> str:
    """The installed version of an imported library, by its import name."""
    names = {"yaml": "pyyaml", "PIL": "pillow", "open_clip": "open_clip_torch"}
    try:
        return importlib.metadata.version(names.get(library, library))
    except importlib.metadata.PackageNotFoundError:
        # Slow, since it reads all packages: only for names that differ from the package's.
        distributions = importlib.metadata.packages_distributions().get(library, [])
        return importlib.metadata.version(distributions[0]) if distributions else "not installed"


@cache
def installed() -> tuple[str, ...]:
    """Names and versions of all installed libraries, as their folders are called; none is read."""
    places = [Path(place) for place in sys.path if Path(place).is_dir()]
    return tuple(sorted(path.name for place in places for path in place.glob("*.dist-info")))


def installing(extras: str) -> str:
    """The command that adds optional libraries to an installed companion, wherever that is."""
    return f'pip install "interpreting-clip-companion[{extras}]"'


def imported_names(source: str) -> tuple[str, ...]:
    """Dotted names that ``source`` imports; ``from a import b`` gives both ``a`` and ``a.b``."""
    return _about(source)[1]


def hash_of(source: str) -> str:
    """Hash of what Python ``source`` does: comments, docstrings and layout left out."""
    return _about(source)[0]


@cache
def _about(source: str) -> tuple[str, tuple[str, ...]]:
    """Hash and imported names, remembered on disk by the text's checksum: walking is slow."""
    path = MEMORY / hashlib.sha256(source.encode()).hexdigest()
    with contextlib.suppress(OSError):
        kept, *listed = path.read_text(encoding="utf-8").split("\n")
        return kept, tuple(listed)
    tree = ast.parse(source)
    names = tuple(_imported(tree))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and node.body:
            node.body = [part for part in node.body if not is_text(part)]
    digest = hash_of_tree(tree)
    with contextlib.suppress(OSError):
        write_text(path, "\n".join([digest, *names]))
    return digest, names


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def _modules(source: str) -> tuple[Path, ...]:
    """Files of our modules that ``source`` itself imports, with the packages around them."""
    names = [name.split(".") for name in imported_names(source) if name.split(".")[0] in OURS]
    dotted = {"/".join(parts[:count]) for parts in names for count in range(1, len(parts) + 1)}
    places = [f"{place}{end}" for place in sorted(dotted) for end in (".py", "/__init__.py")]
    paths = (place / name for name in places for place in PLACES)
    return tuple(path for path in paths if path.is_file())


def is_text(node: ast.stmt) -> bool:
    """Whether a statement is a text alone, as a docstring is."""
    return isinstance(node, ast.Expr) and isinstance(getattr(node.value, "value", None), str)


def hash_of_tree(node: Any) -> str:
    """Hash of a syntax tree, or a list of them, that does not depend on Python's version."""
    text: list[str] = []
    _write_canonical(node, text.append)
    return hashlib.sha256("".join(text).encode()).hexdigest()[:16]


def _write_canonical(node: Any, add: Callable[[str], None]) -> None:
    """Say a syntax tree as text that does not depend on Python's version: no empty fields."""
    if isinstance(node, ast.AST):
        add(f"({type(node).__name__}")
        for name in node._fields:
            value = getattr(node, name, None)
            if value is not None and value != []:
                add(f" {name}=")
                _write_canonical(value, add)
        add(")")
    elif isinstance(node, list):
        for item in node:
            _write_canonical(item, add)
    else:
        add(repr(node))
