"""How often each rule is wrong where the truth is known, and how often right: `rates.csv`.

python data/rates/make.py           # draw again for claims whose rule or worlds changed
python data/rates/make.py --all     # for all, a few minutes
python data/rates/make.py --check   # whether what is kept is of these rules and worlds
"""

import sys

import pandas as pd

from companion.claims import rates, worlds
from companion.claims.ledger import load_claims


def stale() -> list[str]:
    """Claims whose rates are of another rule, or of other worlds."""
    code = rates.kept().groupby("claim")["code"].first() if FILE.is_file() else {}
    now = {name: worlds.code_of(claim, LISTED[name]) for name, claim in CLAIMS.items()}
    return [name for name in CLAIMS if code.get(name) != now[name]]


FILE = rates.FOLDER / "rates.csv"
CLAIMS, LISTED = load_claims(), worlds.worlds()

if __name__ == "__main__":
    wanted = [*CLAIMS] if sys.argv[1:] == ["--all"] else stale()
    wanted = [name for name in sys.argv[1:] if name in CLAIMS] or wanted
    if sys.argv[1:] == ["--check"]:
        said = f"{', '.join(wanted)}: drawn by another rule; run python data/rates/make.py"
        sys.exit(said if wanted else 0)
    tables = {} if not FILE.is_file() else dict([*rates.kept().groupby("claim")])
    for name in wanted:
        print(name, flush=True)
        tables[name] = worlds.rates(CLAIMS[name], LISTED[name])
        ordered = pd.concat([tables[each] for each in CLAIMS if each in tables])
        ordered.to_csv(FILE, index=False)
