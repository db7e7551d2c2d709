# One rule: an experiment's notebook executed for one subject (a family or an edition).
# `companion`, `make book` and `jupyter-book build book/` call this through Snakemake's API; on a
# cluster call it directly: snakemake --rerun-triggers params --rerun-incomplete --executor slurm …
# The key is a hash of content, so the clock decides nothing; its function takes the wildcards
# alone, because Snakemake does not record parameters that look at inputs.
import sys

from analysis import runs


rule all:
    input:
        [run.output.relative_to(runs.ROOT).as_posix() for run in runs.all_runs()],


rule run:
    input:
        notebook="notebooks/{experiment}.py",
    output:
        "book/runs/{experiment}/{subject}.ipynb",
    params:
        key=lambda wildcards: runs.digest(runs.find_run(wildcards.experiment, wildcards.subject).key),
        python=sys.executable,
    shell:
        # exec: the job must be Snakemake's own child, to notice when Snakemake is killed
        "exec {params.python:q} -m analysis.cli execute {wildcards.experiment:q} {wildcards.subject:q}"
