"""Sphinx extension: docstrings as pages, the same with PyTorch and without.

Libraries that the book does without are never imported for it. Docstrings are plain text with
code in backticks: what reStructuredText would read as more than characters is escaped. The
directive `modules` lists every module of some packages with its docstring's first sentence.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from analysis.base.roots import PACKAGES

MOCKED = ["torch", "torchvision", "open_clip", "timm", "huggingface_hub", "safetensors.torch"]
#: Types that have a name of their own in the code: arrays, mostly.
NAMED = ["Array", "ArrayLike", "Encoder", "Flags", "Images", "Indices", "Integers", "Labels",
         "Level", "Order", "Pixels", "Preprocess", "Signs", "State"]  # fmt: skip
#: Code in backticks, single or double, which stays as it is.
CODE = re.compile(r"(``[^`]+``|`[^`]+`)")
#: What would be read as markup; one *word* in asterisks is.
MARKUP = re.compile(r"(\*\w+\*)|[*|\\]|_(?=\W|$)")


def _escaped(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Escape markup in a docstring, examples apart; code in single backticks becomes code."""
    example = False
    for row, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if example:
            continue
        bullet, text = re.fullmatch(r"(\s*(?:\* )?)(.*)", line).groups()
        parts = CODE.split(text)
        plain = [MARKUP.sub(lambda m: m[1] or f"\\{m[0]}", part) for part in parts[::2]]
        code = [_code(part.strip("`")) for part in parts[1::2]]
        lines[row] = bullet + "".join(a + b for a, b in zip(plain, [*code, ""], strict=True))


def _code(text: str) -> str:
    """Code, or a link where it is the label of an equation or a definition."""
    kind = re.match(r"(eq|definition)-[a-z-]+$", text)
    return f":{'eq' if kind[1] == 'eq' else 'ref'}:`{text}`" if kind else f"``{text}``"


def _is_skipped(app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object) -> Any:
    """Fields of named tuples, and what pydantic adds to a class, have no words of ours.

    This is asked of each class before it is documented: pydantic builds one, and with it the
    signature that is shown, when it is used first, which may have been for another page or not.
    """
    if isinstance(obj, type) and issubclass(obj, BaseModel):
        obj.model_rebuild()
    of_tuple = str(getattr(obj, "__doc__", "")).startswith("Alias for field")
    return True if of_tuple or name == "model_config" else None


def _shortened(
    app: Sphinx, what: str, name: str, obj: object, options: object, taken: str, returned: str
) -> tuple[str, str] | None:
    """Types without their modules, also where a default such as <factory> keeps Sphinx from it."""
    if not taken or "<factory>" not in taken:
        return None
    return re.sub(r"~(\w+\.)*", "", taken), returned


class ModulesDirective(SphinxDirective):
    """`{modules} PACKAGE …`: their modules, package by package, and what each is for."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Build a folded list for each package."""
        for path in _modules(self.arguments[0].split()):
            self.env.note_dependency(str(path))
        return self.parse_text_to_nodes(listed_modules(self.arguments[0].split()))


def listed_modules(packages: Sequence[str], folder: Path = PACKAGES) -> str:
    """Every module of some packages below its own, with its docstring's first sentence (MyST)."""
    rooms: dict[str, list[str]] = {}
    for path in _modules(packages, folder):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        sentence = " ".join(re.split(r"\n\n|(?<=\.)\s", docstring)[0].split())
        room = ".".join(path.relative_to(folder).parent.parts)
        rooms.setdefault(room, []).append(f"- `{path.stem}`: {sentence}")
    return "\n\n".join(
        f":::{{dropdown}} `{room}`\n" + "\n".join(lines) + "\n:::" for room, lines in rooms.items()
    )


def _modules(packages: Sequence[str], folder: Path = PACKAGES) -> Iterator[Path]:
    """The files of all modules but those that only make a folder a package."""
    for package in packages:
        every = sorted((folder / package).rglob("*.py"), key=lambda path: (path.parent, path.name))
        yield from (path for path in every if path.name != "__init__.py")


def setup(app: Sphinx) -> dict[str, Any]:
    """Configure autodoc."""
    app.setup_extension("sphinx.ext.autodoc")
    app.config.autodoc_mock_imports = MOCKED
    app.config.autodoc_member_order = "bysource"
    app.config.autodoc_preserve_defaults = True
    app.config.html_domain_indices = False  # the search finds them
    app.config.add_module_names = False
    app.config.python_use_unqualified_type_names = True
    app.config.autodoc_type_aliases = {name: name for name in NAMED}
    app.add_directive("modules", ModulesDirective)
    app.connect("autodoc-process-docstring", _escaped)
    app.connect("autodoc-process-signature", _shortened)
    app.connect("autodoc-skip-member", _is_skipped)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
