"""Which definitions a piece of code reaches: what it names, and what these name, and so on.

What a function computes is decided by these and by nothing else in their modules. So a fingerprint
of them changes with a helper that is deep below it, and stays when another function is added to
their module. Read from syntax trees: nothing is executed.

A definition is a function, a class with all its methods, or whatever else has a name at the top of
a module. Names are followed through imports, aliases and re-exports, attributes of modules,
defaults, decorators and class bodies. Where nobody can tell (a module that is passed on,
``globals()``) the whole module counts. What a module does when it is imported, beyond giving names,
counts for everyone who imports it. Not followed are texts, and the type hints of functions: of
what class an argument is is decided where that is made.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from analysis.base.code import MEMORY, OURS, PLACES, hash_of_tree, is_text
from analysis.base.files import fingerprint, looks, write_text
from analysis.base.texts import CompanionError

Function = ast.FunctionDef | ast.AsyncFunctionDef
Import = ast.Import | ast.ImportFrom
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
#: Changes when a module is described differently, since descriptions are kept by its checksum.
FORMAT = "reach-1"
#: All that a module defines, and what it does when it is imported, as names.
ALL, EFFECTS = "*", ""


class ReachError(CompanionError):
    """What code reaches cannot be told; the message says where and what to write instead."""


class Definition(NamedTuple):
    """A hash of what some statements do, and the dotted names that they use."""

    hash: str
    names: tuple[str, ...]


class Module(NamedTuple):
    """The definitions at the top of a module, and what its imports give names to.

    An entry of a dictionary with texts as keys is a definition, too: ``TABLE[key]``.
    """

    definitions: dict[str, Definition]
    imports: dict[str, str]


@dataclass
class Reached:
    """Definitions, as ``{module: {name: hash}}``, and the libraries of others that they use."""

    definitions: dict[str, dict[str, str]] = field(default_factory=dict)
    libraries: set[str] = field(default_factory=set)

    def by_module(self) -> dict[str, str]:
        """One hash for each module, of all that is reached in it."""
        return {
            module: hashlib.sha256(json.dumps(sorted(found.items())).encode()).hexdigest()[:16]
            for module, found in sorted(self.definitions.items())
        }


class Code:
    """Our packages as they are on disk now, in a ``folder`` if named: each module is read once.

    ``beyond`` are packages and modules that count in another way: nothing in them is followed.
    """

    def __init__(self, folder: Path | None = None, beyond: Iterable[str] = ()) -> None:
        self._places, self._beyond = (folder,) if folder else PLACES, tuple(beyond)
        self.path = functools.cache(self._look_for)
        self._module = functools.cache(self._read)
        self._meant = functools.cache(self._look_up)
        self._looked = functools.cache(self._look)

    def from_name(self, name: str) -> Reached:
        """What a definition, ``package.module.name``, reaches; ReachError if there is none."""
        return self._kept(f"name {name}", lambda: self._from_name(name))

    def _from_name(self, name: str) -> Reached:
        module, _, defined = name.rpartition(".")
        if not self.path(module) or defined not in self._module(module).definitions:
            raise ReachError(f"the code has no {name}: name a definition of one of its modules.")
        return self._reached([(module, defined)])

    def from_source(self, source: str) -> Reached:
        """What a notebook or script reaches beyond itself; SyntaxError if it is no Python."""

        def find() -> Reached:
            definitions = described(source).definitions.values()
            names = {name for definition in definitions for name in definition.names}
            return self._reached(pair for name in names for pair in self._meant(name))

        return self._kept(f"source {source}", find)

    def _kept(self, start: str, find: Callable[[], Reached]) -> Reached:
        """What is reached from a start, remembered on disk while no module is another file."""
        if self._places != PLACES:
            return find()
        about = [FORMAT, self._beyond, list(map(str, self._places)), start]
        path = MEMORY / f"reached-{fingerprint(about)}.json"
        with contextlib.suppress(OSError, ValueError):
            kept = json.loads(path.read_text(encoding="utf-8"))
            if kept["looked"] == self._looked():
                return Reached(kept["definitions"], set(kept["libraries"]))
        found = find()
        libraries = sorted(found.libraries)
        text = json.dumps(
            {"looked": self._looked(), "definitions": found.definitions, "libraries": libraries}
        )
        with contextlib.suppress(OSError):
            write_text(path, text)
        return found

    def _reached(self, start: Iterable[tuple[str, str]]) -> Reached:
        reached, done, waiting = Reached(), set[tuple[str, str]](), [*start]
        while waiting:
            module, name = waiting.pop()
            if not module:
                reached.libraries |= {name} - sys.stdlib_module_names
            elif (module, name) not in done:
                done.add((module, name))
                definition = self._module(module).definitions[name]
                if definition.hash:
                    reached.definitions.setdefault(module, {})[name] = definition.hash
                waiting.append((module, EFFECTS))
                waiting += [pair for used in definition.names for pair in self._meant(used)]
        return reached

    def _look_up(self, name: str) -> list[tuple[str, str]]:
        """The definitions, (module, name), that a dotted name means; a library is ("", its name).

        A name that ends with a dot is a module's that is imported, perhaps.
        """
        *parts, last = name.split(".")
        if last:
            parts.append(last)
        if parts[0] not in OURS:
            return [("", parts[0])] if parts[0] else []
        if any(f"{name}.".startswith(f"{room}.") for room in self._beyond):
            return []
        places = [".".join(parts[:count]) for count in range(len(parts), 0, -1)]
        modules = [place for place in places if self.path(place)]
        imported = [(module, EFFECTS) for module in modules]  # with the packages around it
        if not last or not modules:
            return imported if modules[:1] == places[:1] else []
        return imported + self._inside(modules[0], parts[modules[0].count(".") + 1 :])

    def _inside(self, module: str, parts: list[str]) -> list[tuple[str, str]]:
        """What the end of a dotted name means in a module; all of it if nobody can tell."""
        about = self._module(module)
        for name in (*parts[:1], "__getattr__" if parts else ""):
            if name and name in about.definitions:
                return [(module, name)]
            if name in about.imports:
                return self._meant(".".join([about.imports[name], *parts[1:]]))
        return [(module, name) for name in about.definitions]

    def _look(self) -> str:
        """Times and sizes of all modules of ours, in a word."""
        rooms = [place / name for place in self._places for name in OURS]
        return fingerprint([looks(*rooms, ending=".py"), sys.version])

    def _look_for(self, module: str) -> Path | None:
        """The file of a module, None for what is none."""
        named = [place / module.replace(".", "/") for place in self._places]
        ends = ((at.with_name(f"{at.name}.py"), at / "__init__.py") for at in named)
        paths = (path for pair in ends for path in pair)
        return next((path for path in paths if path.is_file()), None)

    def _read(self, module: str) -> Module:
        path = self.path(module)
        assert path is not None
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        return described(path.read_text(encoding="utf-8"), module, package)


def described(source: str, module: str = "", package: str = "") -> Module:
    """The definitions at the top of a module, remembered on disk by its checksum.

    Raises SyntaxError, and ReachError where everything is imported from another module.
    """
    key = hashlib.sha256(f"{FORMAT} {module} {package}\n{source}".encode()).hexdigest()
    path = MEMORY / f"{key}.json"
    with contextlib.suppress(OSError, ValueError):
        kept, imports = json.loads(path.read_text(encoding="utf-8"))
        return Module(
            {name: Definition(h, tuple(used)) for name, (h, used) in kept.items()}, imports
        )
    about = _described(ast.parse(source), module, package)
    with contextlib.suppress(OSError):
        write_text(path, json.dumps(about))
    return about


def _described(tree: ast.Module, module: str, package: str) -> Module:
    body = [node for node in tree.body if not (is_text(node) or _is_for_others(node))]
    imports = _imports(body, package)
    statements: dict[str, list[ast.AST]] = {EFFECTS: []}
    for node in body:
        names = _bound([node]) - {*imports}
        for name in names:
            statements.setdefault(name, []).append(node)
        if not isinstance(node, Import) and (not names or _does_more(node, imports)):
            statements[EFFECTS].append(node)
        for key, value in _entries(node):
            statements[f"{next(iter(names))}[{key}]"] = [value]
    scope = imports | {name: f"{module}.{name}" for name in statements if name}
    definitions = {
        name: Definition(hash_of_tree(_bare(nodes)) if nodes else "", _names(nodes, scope, package))
        for name, nodes in statements.items()
    }
    done, used = definitions[EFFECTS]
    definitions[EFFECTS] = Definition(done, (*used, *_imported(body, package)))
    return Module(definitions, imports)


def _is_for_others(node: ast.stmt) -> bool:
    """Whether only a type checker or a program executes it."""
    test = ast.unparse(node.test) if isinstance(node, ast.If) else ""
    return test in ("TYPE_CHECKING", "typing.TYPE_CHECKING") or test.startswith("__name__ ==")


def _does_more(node: ast.stmt, imports: dict[str, str]) -> bool:
    """Whether a statement at the top does more than give names: it changes or registers things."""
    if isinstance(node, Function | ast.ClassDef):  # if decorated by a function of ours
        roots = [re.split(r"\W", ast.unparse(each))[0] for each in node.decorator_list]
        return any(imports.get(root, OURS[0]).split(".")[0] in OURS for root in roots)
    changed = [n for n in ast.walk(node) if isinstance(n, ast.Attribute | ast.Subscript)]
    plain = isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign)
    return not plain or any(isinstance(n.ctx, ast.Store) for n in changed)


def _entries(node: ast.stmt) -> Iterator[tuple[str, ast.expr]]:
    """The entries of a dictionary that is given a name, if their keys are texts."""
    value = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
    if isinstance(value, ast.Dict) and len(_bound([node])) == 1:
        for key, entry in zip(value.keys, value.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, entry


def _bare(nodes: list[ast.AST]) -> list[ast.AST]:
    """The same syntax trees without docstrings, and without type hints but those of classes."""
    parts = {id(part): part for each in nodes for part in ast.walk(each)}.values()
    hinted = [*nodes]
    for node in parts:
        if isinstance(node, Function | ast.ClassDef):
            node.body = [part for part in node.body if not is_text(part)]
        if isinstance(node, Function):
            node.returns = None
            hinted += [*ast.walk(node.args), *_scope(node.body)]
    for node in hinted:
        if isinstance(node, ast.arg | ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return nodes


# Names


def _imports(body: Iterable[ast.AST], package: str) -> dict[str, str]:
    """What imports among some statements, but not within functions, give names to."""
    imports: dict[str, str] = {}
    for node in _scope(body):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                imports[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if alias.name == ALL:
                    raise ReachError(
                        f"{package or 'a notebook'} imports everything from {node.module}, so that "
                        "nobody can tell which definitions it uses: import them by their names."
                    )
                imports[alias.asname or alias.name] = f"{_from(node, package)}.{alias.name}"
    return imports


def _imported(body: Iterable[ast.AST], package: str) -> list[str]:
    """The modules that these statements import, perhaps, each with a dot at its end."""
    modules = set()
    for node in _scope(body):
        if isinstance(node, ast.Import):
            modules |= {f"{alias.name}." for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules |= {f"{_from(node, package)}.{alias.name}." for alias in node.names}
    return sorted(name for name in modules if name.split(".")[0] in OURS)


def _from(node: ast.ImportFrom, package: str) -> str:
    """The module that names are imported from."""
    around = package.split(".")[: 1 - node.level or None] if node.level else []
    return ".".join(filter(None, [*around, node.module]))


def _scope(nodes: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """All parts of some statements but for what is in functions, classes and comprehensions."""
    waiting = [*nodes]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, Comprehension):
            waiting += [part for part in ast.walk(node) if isinstance(part, ast.NamedExpr)]
        elif not isinstance(node, Function | ast.ClassDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)


def _bound(nodes: Iterable[ast.AST]) -> set[str]:
    """The names that some statements give a value to, in the scope in which they stand."""
    bound, elsewhere = set[str | None](), set[str]()
    for node in _scope(nodes):
        if isinstance(
            node, Function | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar
        ):
            bound.add(node.name)
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound.add(node.id)
        elif isinstance(node, ast.MatchMapping):
            bound.add(node.rest)
        elif isinstance(node, Import):
            bound |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Global | ast.Nonlocal):
            elsewhere |= {*node.names}
    return {name for name in bound if name} - elsewhere


def _names(nodes: Iterable[ast.AST], scope: dict[str, str], package: str) -> tuple[str, ...]:
    """The dotted names that some statements use, of other modules and of their own."""
    used = _Used(scope, package)
    for node in nodes:
        used.visit(node)
    return tuple(sorted(used.names))


class _Used(ast.NodeVisitor):
    """Collects names that are used, each as what it means where it stands; "" is a local value."""

    def __init__(self, scope: dict[str, str], package: str) -> None:
        self.scopes, self.package, self.names = [scope], package, set[str]()

    def use(self, name: str, rest: Iterable[str] = ()) -> None:
        """Note a name, with the attributes that are read of it."""
        means = next((scope[name] for scope in reversed(self.scopes) if name in scope), None)
        if means is None and name == "globals":
            self.names |= {target for target in self.scopes[0].values() if target}
        if means:
            self.names.add(".".join([means, *rest]))

    def inside(self, parts: Iterable[ast.AST], bound: dict[str, str]) -> None:
        """Visit parts of a scope that gives names of its own."""
        self.scopes.append(bound)
        for part in parts:
            self.visit(part)
        self.scopes.pop()

    def visit_Name(self, node: ast.Name) -> None:
        """Note a name on its own."""
        self.use(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Note a name with all attributes that are read of it, as in ``np.linalg.svd``."""
        chain, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            chain, value = [value.attr, *chain], value.value
        if isinstance(value, ast.Name):
            self.use(value.id, chain)
        else:
            self.visit(value)

    def generic_visit(self, node: ast.AST) -> None:
        """Visit what a node consists of, with the names that it binds for its parts alone."""
        if isinstance(node, Import):
            self.names |= {*_imported([node], self.package)}
        elif isinstance(node, Function | ast.Lambda):
            self.visit_function(node)
        elif isinstance(node, Comprehension):
            first, *others = node.generators
            self.visit(first.iter)
            targets = dict.fromkeys(_bound([each.target for each in node.generators]), "")
            rest = [first.target, *first.ifs, *others]
            rest += [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
            self.inside(rest, targets)
        else:
            super().generic_visit(node)

    def visit_function(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        """Visit what is evaluated outside of a function, then its body."""
        outside = [
            *getattr(node, "decorator_list", []),
            *node.args.defaults,
            *node.args.kw_defaults,
        ]
        for part in filter(None, outside):
            self.visit(part)
        given = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
        body = [node.body] if isinstance(node, ast.Lambda) else node.body
        bound = dict.fromkeys(given | _bound(body), "")
        self.inside(body, bound | _imports(body, self.package))
