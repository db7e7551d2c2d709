"""Which way imports go between the rooms of the house."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS, BOTTOM = ("analysis", "companion", "training"), ("analysis.common", "analysis.code")
#: Room → what its modules may import of ours besides each other. The longest name decides.
ROOMS = {
    "analysis.metrics": (),
    "analysis.common": (),
    "analysis.code": ("analysis.common",),
    "analysis.families": BOTTOM,
    "analysis.images": (*BOTTOM, "analysis.families"),
    "analysis.features": (*BOTTOM, "analysis.families", "analysis.images"),
    "training": ("analysis",),
    "companion": ("analysis",),
    "companion.cli": OURS,
    "companion.commands": OURS,
}
COMMAND_LINE = ("companion.cli", "companion.commands")
HEAVY = ("torch", "torchvision", "open_clip", "timm", "lightning")
#: What still breaks a rule: take out what is repaired, add nothing.
STILL: dict[str, set[str]] = {
    "companion.probe_checkpoint": {"analysis.features.checkpoints", "analysis.features.extract"},
    "companion.readers": {
        "analysis.features.checkpoints",
        "analysis.features.encoders",
        "analysis.features.heads",
        "analysis.features.networks",
        "analysis.features.weights",
        "analysis.images.find",
        "companion.measurements.due",
        "companion.measurements.published",
    },
    "companion.runs.estimate": {
        "analysis.features.decode",
        "analysis.features.encoders",
        "analysis.features.extract",
        "analysis.features.networks",
        "torch",
    },
    "companion.runs.execute": {"companion.runs.shell"},
    "companion.runs.grid": {
        "analysis.features.extract",
        "analysis.images.broden",
        "companion.measurements.concept_probe",
        "companion.measurements.due",
        "companion.measurements.records",
        "companion.measurements.take",
        "torch",
    },
}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in OURS
    for path in sorted((ROOT / package).rglob("*.py"))
}


def inside(name, rooms):
    return any(name == room or name.startswith(f"{room}.") for room in rooms)


def imports(path):
    """What a file imports, and whether it does so inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    hidden = {id(node) for function in functions for node in ast.walk(function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in hidden) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module, id(node) in hidden


def breaks_a_rule(module, name, hidden):
    """Torch and its kin in two rooms only; ours one way, and at the top but in the command line."""
    if inside(name, HEAVY):
        return not inside(module, ("analysis.features", "training"))
    room = max((room for room in ROOMS if inside(module, [room])), key=len, default="")
    one_way = inside(name, (room, *ROOMS.get(room, ()))) and (
        not inside(name, COMMAND_LINE) or (module, name) == COMMAND_LINE
    )
    return inside(name, OURS) and (not one_way or (hidden and module not in COMMAND_LINE))


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module):
    found = {name for name, hidden in imports(MODULES[module])
             if breaks_a_rule(module, name, hidden)}  # fmt: skip
    assert found == STILL.get(module, set()), (
        "the direction is in ROOMS; repaired? then not in STILL"
    )


def test_what_is_still_wrong_is_there():
    assert STILL.keys() <= MODULES.keys()
