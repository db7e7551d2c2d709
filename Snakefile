# The graph of all jobs, on one laptop and on a cluster (profiles/README.md).
#
# `run` executes an experiment's notebook for one subject (a family or an edition). `companion`,
# `make book` and `jupyter-book build book/` call it through Snakemake's API. The other rules are
# those of the grid (companion/runs/grid.py), for `companion grid`, or by hand:
#
#     snakemake --profile profiles/slurm grid --config edition=paper shards=4
#
# Keys are hashes of content, so the clock decides nothing (--rerun-triggers params); their functions
# take the wildcards alone, because Snakemake does not record parameters that look at inputs.
import sys

from analysis.common import ROOT, fingerprint
from companion.runs import engine, experiments, grid as the_grid, keys

NOTES = the_grid.notes(the_grid.choice_from(config).which)
# Not among the params: neither Python's path nor how many share the work makes what is there outdated.
PYTHON = sys.executable
CHOICE = the_grid.to_json(config)


wildcard_constraints:
    family="[^/]+",
    data="[^/]+",
    number="[0-9]+",
    of="[0-9]+",


localrules:
    all,
    grid,


rule all:
    input:
        [run.output.relative_to(ROOT).as_posix() for run in experiments.all_runs()],


rule run:
    input:
        notebook="notebooks/{experiment}.py",
    output:
        "book/runs/{experiment}/{subject}.ipynb",
    params:
        made_from=lambda w: fingerprint(keys.parts(experiments.find_run(w.experiment, w.subject))),
    run:
        engine.execute_for_book(wildcards.experiment, wildcards.subject)


rule grid:
    input:
        lambda wildcards: the_grid.targets(config),


rule extract_part:
    output:
        NOTES / "{family}" / "{data}" / "part-{number}-of-{of}.json",
    params:
        key=lambda wildcards: the_grid.key(config, "part", wildcards.family, wildcards.data),
    threads: the_grid.choice_from(config).workers
    resources:
        gpu=lambda wildcards: the_grid.gpus(config),
    shell:
        "exec {PYTHON:q} -m companion.runs.grid part {wildcards.family:q} {wildcards.data:q}"
        " {wildcards.number} {wildcards.of} {threads} {CHOICE:q}"


rule features:
    # in one go, or put together from parts
    input:
        lambda wildcards: the_grid.needed_parts(config, wildcards.family, wildcards.data),
    output:
        NOTES / "{family}" / "{data}" / "features.json",
    params:
        key=lambda wildcards: the_grid.key(config, "features", wildcards.family, wildcards.data),
    threads: the_grid.choice_from(config).workers
    resources:
        gpu=lambda wildcards: the_grid.gpus(config),
    shell:
        "exec {PYTHON:q} -m companion.runs.grid features {wildcards.family:q}"
        " {wildcards.data:q} 0 0 {threads} {CHOICE:q}"


rule measure:
    input:
        lambda wildcards: the_grid.needed_features(config, wildcards.family, wildcards.data),
    output:
        NOTES / "{family}" / "{data}" / "measure.json",
    params:
        key=lambda wildcards: the_grid.key(config, "measure", wildcards.family, wildcards.data),
    shell:
        "exec {PYTHON:q} -m companion.runs.grid measure {wildcards.family:q}"
        " {wildcards.data:q} 0 0 '' {CHOICE:q}"
