# The graph of all jobs, on one laptop and on a cluster (profiles/README.md). `companion`, `make` and
# `jupyter-book build book/` call it (companion/runs/dispatch.py), and name what is to be done.
#
# `run` executes an experiment's notebook for one subject (a family or an edition); by hand:
# `snakemake --cores 2 --rerun-triggers params`. What a run is made from are hashes of content, so
# the clock decides nothing; the function takes the wildcards alone, because Snakemake does not
# record parameters that look at inputs.
#
# `features` and `measure` are the grid's (companion/runs/grid.py); their outputs are receipts.
import json
from pathlib import Path

from analysis.common import fingerprint
from companion.runs import engine, experiments, keys

RECEIPTS = config.get("receipts", ".companion/receipts")
CHOICE = "{}"
if "receipts" in config:
    from companion.runs.options import Choice
    from companion.runs import grid as the_grid

    CHOICE = Path(RECEIPTS, "choice.json").read_text()


rule all:
    input:
        [run.output.relative_to(experiments.ROOT).as_posix() for run in experiments.all_runs()],


rule run:
    output:
        # The old one stays until the new one is there.
        update("book/runs/{experiment}/{subject}.ipynb"),
    params:
        made_from=lambda w: fingerprint(keys.parts(experiments.find_run(w.experiment, w.subject))),
    run:
        engine.execute_for_book(wildcards.experiment, wildcards.subject)


rule features:
    output:
        RECEIPTS + "/features/{family}/{data}.json",
    threads: json.loads(CHOICE).get("workers", 8)
    resources:
        gpu=lambda wildcards: int(json.loads(CHOICE).get("device") != "cpu"),
    run:
        job = the_grid.Job("features", wildcards.family, wildcards.data)
        the_grid.do(Choice.model_validate_json(CHOICE), job, Path(output[0]))


rule measure:
    output:
        RECEIPTS + "/measure/{family}/{data}.json",
    run:
        job = the_grid.Job("measure", wildcards.family, wildcards.data)
        the_grid.do(Choice.model_validate_json(CHOICE), job, Path(output[0]))
