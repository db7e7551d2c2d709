# The same jobs for those who use Snakemake. `companion` and `jupyter-book build book/` need none of
# it: they do what is to be done by themselves, and decide by content what that is.
#
# `snakemake --cores 2` executes the book's notebooks, each a run of one experiment for one subject (a
# family or an edition); what is out of date follows from the times of the files that it reads.
#
# `companion grid --profile NAME` calls the rules `features` and `measure` on a cluster
# (profiles/README.md). A job is a file that says what to call; its output is a receipt.
import sys
from pathlib import Path

from results import experiments, fingerprints

PYTHON = sys.executable


def relative(paths):
    return [path.relative_to(experiments.ROOT).as_posix() for path in paths]


rule all:
    input:
        relative(run.output for run in experiments.all_runs()),


rule run:
    input:
        lambda w: fingerprints.inputs(experiments.find_run(w.experiment, w.subject)),
    output:
        "book/runs/{experiment}/{subject}.ipynb",
    shell:
        "{PYTHON} -m companion.cli run {wildcards.experiment} {wildcards.subject}"


rule jobs: # a grid's, whose receipts a file names
    input:
        lambda w: Path(config["names"]).read_text(encoding="utf-8").splitlines(),


rule features:
    input:
        "{receipts}/features/{family}/{data}.call",
    output:
        "{receipts}/features/{family}/{data}.json",
    threads: config.get("workers", 8)
    resources:
        gpu=config.get("gpu", 1),
    shell:
        "{PYTHON} -m companion.runs.cluster {input:q} {output:q}"


rule measure:
    input:
        "{receipts}/measure/{family}/{data}.call",
    output:
        "{receipts}/measure/{family}/{data}.json",
    shell:
        "{PYTHON} -m companion.runs.cluster {input:q} {output:q}"
