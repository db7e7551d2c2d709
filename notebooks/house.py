# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   companion:
#     scope: edition
#     reads:
#     - analysis/*.py
#     - analysis/*/*.py
#     - companion/*.py
#     - companion/*/*.py
#     - training/*.py
# ---

# %% [markdown]
# # The house
#
# The rooms of this repository's code, how large they are, and which of them use which, read from
# the imports of every module.

# %% tags=["parameters"]
edition: str = "paper"

# %%
import ast
from collections import Counter
from pathlib import Path

import pandas as pd

from analysis.code import imported_names
from analysis.common import ROOT
from companion.publish import style
from companion.publish.house import draw_house

# %% [markdown]
# ## Modules and rooms
#
# A room is a folder with an `__init__.py`, which says what the room is for; modules that lie
# directly in `analysis`, `companion` or `training` stand in the room of that name.

# %%
PACKAGES = ("analysis", "companion", "training")
sources = {
    path: path.read_text(encoding="utf-8")
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
}


def room_of(path: Path) -> str:
    """The room of a module, `analysis.metrics` for `analysis/metrics/outliers.py`."""
    return ".".join(path.relative_to(ROOT).parts[:-1])


def purpose(path: Path) -> str:
    """The first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(sources[path])) or ""
    return " ".join(text.split("\n\n")[0].split())


modules = pd.DataFrame(
    {"room": room_of(path), "module": path.stem, "what it is for": purpose(path),
     "lines": sources[path].count("\n")}
    for path in sources if path.stem != "__init__"
)  # fmt: skip
lines = modules.groupby("room")["lines"].sum()
rooms = {room_of(path): purpose(path) for path in sources if path.stem == "__init__"}
rooms = {room: about for room, about in rooms.items() if room in lines}

# %% [markdown]
# ## Who uses whom

# %%
arrows: Counter[tuple[str, str]] = Counter()
for path, source in sources.items():
    used = {room for name in imported_names(source) for room in rooms
            if (ROOT / room.replace(".", "/") / f"{name.removeprefix(room + '.')}.py").is_file()
            and name.startswith(f"{room}.")}  # fmt: skip
    arrows.update((room_of(path), room) for room in used - {room_of(path)})

# %%
style.figure(
    "house", draw_house(lines.to_dict(), arrows), None,
    f"""The house: {len(modules)} modules in {len(rooms)} rooms, with their lines. An arrow runs
    from a room to one that uses it, the thicker the more modules do; arrows that follow from
    others are left out. What lies on the left knows nothing of what lies to its right.""",
)  # fmt: skip

# %%
used = {room: [f"`{to}`" for start, to in sorted(arrows) if start == room] for room in rooms}
table = pd.DataFrame(
    {"room": f"`{room}`", "what it is for": about, "lines": f"{lines[room]:,}",
     "uses": ", ".join(used[room]) or "nothing of ours"}
    for room, about in rooms.items()
)  # fmt: skip
style.table("rooms", table, None, "The rooms, what each is for and which others it uses.")

# %%
shown = modules.assign(
    module=[
        f"`{room}.{name}`" for room, name in zip(modules["room"], modules["module"], strict=True)
    ]
)
for package in PACKAGES:
    of_package = shown[shown["room"].str.split(".").str[0] == package]
    style.table(
        f"modules-{package}", of_package[["module", "what it is for", "lines"]], None,
        f"The modules of `{package}`, each with the first sentence of its docstring.",
    )  # fmt: skip
