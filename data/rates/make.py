"""How often each rule is wrong where the truth is known, and how often right: `rates.csv`.

python data/rates/make.py           # draw again where the rule or the world changed
python data/rates/make.py --all     # everywhere, some ten minutes of one core
python data/rates/make.py --check   # whether what is kept is of these rules and worlds
"""

import sys

import pandas as pd

from companion.claims import rates, worlds
from companion.claims.ledger import load_claims

FILE = rates.FOLDER / "rates.csv"
CLAIMS, LISTED = load_claims(), worlds.worlds()


def kept() -> dict[tuple[str, str], dict[str, object]]:
    """The rows that were drawn by today's rules in today's worlds, by claim and world.

    What the truth there makes of the outcomes is read from the world again.
    """
    rows = rates.kept().to_dict("records") if FILE.is_file() else []
    known = {(row["claim"], row["world"]): row for row in rows}
    return {
        (name, world.name): row | worlds.wrong_words(world, row)
        for name, listed in LISTED.items()
        for world in listed
        if (row := known.get((name, world.name)))
        and row["code"] == worlds.code_of(CLAIMS[name], world)
    }


if __name__ == "__main__":
    now = {} if sys.argv[1:] == ["--all"] else kept()
    wanted = [(n, w) for n in CLAIMS for w in LISTED.get(n, ()) if (n, w.name) not in now]
    if sys.argv[1:] == ["--check"]:
        said = [f"{name}, {world.name}: run python data/rates/make.py" for name, world in wanted]
        sys.exit("\n".join(said) or 0)
    for name, world in [*wanted, (None, None)]:
        if name:
            print(f"{name}: {world.name}", flush=True)
            (now[name, world.name],) = worlds.rates(CLAIMS[name], [world]).to_dict("records")
        places = [(n, w.name) for n in CLAIMS for w in LISTED.get(n, ())]
        pd.DataFrame([now[at] for at in places if at in now]).to_csv(FILE, index=False)
