# ---
# jupyter:
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
from companion.publish import style
from companion.publish.house import arrows, draw_house, modules

PACKAGES = ("analysis", "companion", "training")
every = modules(PACKAGES)
listed = every[every["module"] != ""]
lines = listed.groupby("room")["lines"].sum()
rooms = every[(every["module"] == "") & every["room"].isin(lines.index)]
uses = arrows(every)

# %% [markdown]
# ## Who uses whom

# %%
style.figure(
    "house", draw_house(lines.to_dict(), uses), None,
    f"""The house: {len(listed)} modules in {len(rooms)} rooms, with their lines. An arrow runs
    from a room to one that uses it, the thicker the more modules do; arrows that follow from
    others are left out. What lies on the left knows nothing of what lies to its right.""",
)  # fmt: skip
table = rooms.assign(
    room="`" + rooms["room"] + "`",
    lines=rooms["room"].map(lines).map("{:,}".format),
    uses=[
        ", ".join(f"`{to}`" for start, to in sorted(uses) if start == room) or "nothing of ours"
        for room in rooms["room"]
    ],
)
columns = ["room", "what it is for", "lines", "uses"]
style.table("rooms", table[columns], None, "The rooms, what each is for and which others it uses.")

# %% [markdown]
# ## Modules

# %%
named = listed.assign(module="`" + listed["room"] + "." + listed["module"] + "`")
for package in PACKAGES:
    own = named[named["room"].str.split(".").str[0] == package]
    style.table(
        f"modules-{package}", own[["module", "what it is for", "lines"]], None,
        f"The modules of `{package}`, each with the first sentence of its docstring.",
    )  # fmt: skip
