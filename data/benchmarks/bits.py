"""What few bits leave of the neighbours in public stores of texts, and what the command prints.

    python data/benchmarks/bits.py          # prints the table
    python data/benchmarks/bits.py --csv    # writes stores.csv and bits.txt, which a page shows
    python data/benchmarks/bits.py --check  # compares stores.csv with what comes out here

Stores are those of `data/encoders/encoders.yaml` that the list names. Both sides are compressed and
compared by cosine, one scale per vector, as in the measurement `quantisation`; equal vectors count
once.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analysis.base.files import write_or_compare, write_text
from analysis.metrics.outliers import kurtosis
from companion.cli import main as cli
from companion.measurements.bits import SCHEMES, quantisation
from companion.sources.public import fetch

HERE = Path(__file__).resolve().parent
ENCODERS = ("text-embedding-ada-002", "bge-small-en-v1.5", "text-embedding-3-small")
#: Fewer vectors have too few neighbours to count.
LEAST = 50
SHOWN = "upstage-llm/index.faiss"
COLUMNS = {"written": "kept_written", "turned": "kept_rotated", "mean_off": "kept_less_mean"}


def rows() -> pd.DataFrame:
    """A row for each store and number of bits; shares are fractions."""
    every, found = runpy.run_path(str(HERE.parent / "encoders" / "make.py"))["every"](), []
    for entry, h in every:
        if entry["encoder"] not in ENCODERS or len(h) < LEAST:
            continue
        measured = quantisation(h)
        for bits in (4, 3):
            at = [*SCHEMES].index(("vector", bits))
            of = {
                name: np.atleast_2d(measured[key]).mean(axis=0)[at]  # over rotations, if several
                for name, key in COLUMNS.items()
            }
            about = {"encoder": entry["encoder"], "vectors": len(h), "components": h.shape[1]}
            found.append(about | {"kurtosis": kurtosis(h).mean(), "bits": bits} | of)
    return pd.DataFrame(found)


def output() -> str:
    """What the command prints for one store of ada-002."""
    path = fetch(SHOWN)
    with contextlib.redirect_stdout(io.StringIO()) as said:
        cli.main(["bits", str(path)])
    return f"$ companion bits {path.name}\n{said.getvalue()}"


def main() -> int:
    """Print, write or compare; the exit status is 1 if the table differs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--csv", action="store_true", help="write stores.csv and bits.txt")
    parser.add_argument("--check", action="store_true", help="compare with stores.csv")
    options, table = parser.parse_args(), rows()
    text = table.to_csv(index=False, float_format="%.4g")
    if options.csv:
        write_text(HERE / "bits.txt", output())
    if options.csv or options.check:
        return write_or_compare(HERE / "stores.csv", text, options.check)
    print(table.to_string(index=False))
    return 0


if __name__ == "__main__":
    sys.exit(main())
