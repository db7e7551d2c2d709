"""The house in one picture: the rooms of the code, and which of them use which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from companion.publish.style import INK, MUTED, PAPER, Drawing, new_figure

#: Where each room stands, by column and row; a room that is not here has no place in the house.
PLACES = {
    "analysis": (0, 1), "analysis.families": (1.15, 1), "analysis.images": (2.3, 1),
    "analysis.features": (3.45, 1), "analysis.metrics": (3.45, 2), "training": (4.6, 0),
    "companion.measurements": (4.6, 1.5), "companion.claims": (5.75, 2.25),
    "companion.publish": (6.9, 2.25), "companion.runs": (5.75, 0.75), "companion": (8.05, 1),
}  # fmt: skip
#: Colours of the floors, by the first part of a room's name.
FLOORS = {"analysis": "#1f83c4", "training": "#009e73", "companion": "#d55e00"}
WIDTH, HEIGHT = 1.0, 0.52


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
    for user, used in essential(arrows):
        axes.add_patch(
            FancyArrowPatch(
                PLACES[used], PLACES[user], arrowstyle="-|>", mutation_scale=11, color=MUTED,
                shrinkA=28, shrinkB=32, connectionstyle="arc3,rad=0.06",
                linewidth=0.8 + 0.2 * min(arrows[user, used], 8),
            )
        )  # fmt: skip
    for room, count in lines.items():
        x, y = PLACES[room]
        first, _, rest = room.partition(".")
        axes.add_patch(
            FancyBboxPatch(
                (x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, zorder=3,
                boxstyle="round,pad=0.02,rounding_size=0.08", facecolor=PAPER,
                edgecolor=FLOORS[first], linewidth=1.8,
            )
        )  # fmt: skip
        axes.text(x, y + 0.1, rest or first, ha="center", color=INK, fontsize=9, zorder=4)
        axes.text(x, y - 0.2, f"{count:,} lines", ha="center", color=MUTED, fontsize=8, zorder=4)
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
