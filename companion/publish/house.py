"""The house: the rooms of the code, read from every module, and which of them use which.

A room is a folder with an `__init__.py`, which says what the room is for; modules that lie directly
in `analysis`, `companion` or `training` stand in the room of that name.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping

import pandas as pd
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from analysis.code import imported_names
from analysis.common import ROOT
from companion.publish.style import INK, MUTED, PAPER, Drawing, new_figure

#: Where each room stands, by column and row; a room that is not here has no place in the house.
PLACES = {
    "analysis": (0, 1), "analysis.families": (1.5, 1.45), "analysis.images": (1.5, 0.55),
    "analysis.features": (3, 1), "analysis.metrics": (3, 2), "training": (4.5, 0),
    "companion.measurements": (4.5, 1.5), "companion.claims": (5.75, 2.25),
    "companion.publish": (7, 2.25), "companion.runs": (5.75, 0.9), "companion": (8.05, 1),
}  # fmt: skip
#: Colours of the floors, by the first part of a room's name.
FLOORS = {"analysis": "#1f83c4", "training": "#009e73", "companion": "#d55e00"}
WIDTH, HEIGHT = 0.88, 0.52


def modules(packages: Iterable[str]) -> pd.DataFrame:
    """A row per module of the packages: its room, name, first sentence, lines and source.

    The name of a room's own `__init__.py`, whose sentence is what the room is for, is empty.
    """
    paths = [path for name in packages for path in sorted((ROOT / name).rglob("*.py"))]
    sources = [path.read_text(encoding="utf-8") for path in paths]
    return pd.DataFrame(
        {
            "room": ".".join(path.relative_to(ROOT).parts[:-1]),
            "module": path.stem.replace("__init__", ""),
            "what it is for": _first_sentence(source),
            "lines": source.count("\n"),
            "source": source,
        }
        for path, source in zip(paths, sources, strict=True)
    )


def arrows(modules: pd.DataFrame) -> Counter[tuple[str, str]]:
    """(room, another room that it uses) → how many of its modules do, from their imports."""
    names = modules["room"] + "." + modules["module"]
    rooms = dict(zip(names, modules["room"], strict=True))
    found = Counter[tuple[str, str]]()
    for room, source in modules[["room", "source"]].itertuples(index=False):
        used = {rooms[name] for name in imported_names(source) if name in rooms}
        found.update((room, other) for other in used - {room})
    return found


def _first_sentence(source: str) -> str:
    text = ast.get_docstring(ast.parse(source)) or ""
    return " ".join(text.split("\n\n")[0].split())


def draw_house(lines: Mapping[str, int], arrows: Mapping[tuple[str, str], int]) -> Drawing:
    """Draw rooms as boxes and uses as arrows, from the room that is used to the one that uses it.

    ``lines``: room → lines of code. ``arrows``: (room, room that it uses) → how many modules do.
    Raises ValueError for a room that has no place: give it one in `PLACES`.
    """
    homeless = sorted(set(lines) - set(PLACES))
    if homeless:
        raise ValueError(f"the room {homeless[0]} has no place in the picture of the house.")
    figure, axes = new_figure(width=9.6, height=3.7)
    axes.set(xlim=(-0.55, 8.6), ylim=(-0.4, 2.95))
    axes.axis("off")
    boxes = {}
    for room, count in lines.items():
        x, y = PLACES[room]
        first, _, rest = room.partition(".")
        boxes[room] = axes.add_patch(
            FancyBboxPatch(
                (x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, zorder=3,
                boxstyle="round,pad=0.02,rounding_size=0.08", facecolor=PAPER,
                edgecolor=FLOORS[first], linewidth=1.8,
            )
        )  # fmt: skip
        axes.text(x, y + 0.1, rest or first, ha="center", color=INK, fontsize=8.5, zorder=4)
        axes.text(x, y - 0.2, f"{count:,} lines", ha="center", color=MUTED, fontsize=8, zorder=4)
    for user, used in essential(arrows):
        axes.add_patch(
            FancyArrowPatch(
                PLACES[used], PLACES[user], patchA=boxes[used], patchB=boxes[user],
                arrowstyle="-|>", mutation_scale=11, color=MUTED, shrinkA=1, shrinkB=2,
                linewidth=0.8 + 0.2 * min(arrows[user, used], 8),
            )
        )  # fmt: skip
    for first, colour in FLOORS.items():
        axes.plot([], [], marker="s", linestyle="", markerfacecolor="none", markersize=9,
                  markeredgecolor=colour, markeredgewidth=1.8, label=f"{first}/")  # fmt: skip
    axes.legend(loc="upper left", ncols=3)
    return Drawing(figure, _in_words(lines, arrows))


def essential(arrows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows (user, used) that do not follow from others: no longer way leads there."""
    uses: dict[str, set[str]] = {}
    for user, used in arrows:
        uses.setdefault(user, set()).add(used)

    def reached(start: str, seen: set[str]) -> set[str]:
        for room in uses.get(start, set()) - seen:
            seen.add(room)
            reached(room, seen)
        return seen

    return sorted(
        (user, used)
        for user, direct in uses.items()
        for used in direct
        if not any(used in reached(other, set()) for other in direct - {used})
    )


def _in_words(lines: Mapping[str, int], arrows: Mapping[tuple[str, str], int]) -> str:
    sentences = []
    for room in lines:
        used = sorted(to for start, to in arrows if start == room)
        sentences.append(f"{room} uses {', '.join(used) if used else 'nothing of ours'}.")
    return "Boxes for rooms, arrows for imports. " + " ".join(sentences)
