# How `companion grid --profile NAME` has the jobs of a grid done on a cluster (profiles/README.md).
# A job is a file that says what to call; its output is a receipt. What there is to do is decided by
# `companion`, from what features and measurements say that they were made from.
import sys

PYTHON = sys.executable


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
