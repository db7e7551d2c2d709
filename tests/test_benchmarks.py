"""The benchmark that waits for a GPU runs on a processor."""

import re
import sys

import pytest
import torch
from conftest import ROOT


@pytest.fixture
def benchmark(monkeypatch):
    """The GPU's benchmark, called with what a command line gives it."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
        gpu.main()

    return call


def test_without_a_gpu_the_gpus_benchmark_says_so_in_a_sentence(benchmark, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="There is no GPU here, so nothing was measured: call"):
        benchmark()


def test_its_code_works_on_a_processor(benchmark, capsys):
    benchmark("--device", "cpu", "--images", "8", "--models", "pocket-cnn", "pocket-vit")
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("pocket-cnn, bf16: bare encoder channels first ")
    assert re.search(r"so \d+ cores suffice for 95%", said[0])  # how many is the machine's affair
    assert said[2].startswith("2 encoders in one pass")
    changes = [line for line in said if "against fp32" in line]
    assert len(changes) == 2 and all("predictions kept" in line for line in changes)
    for line in changes:  # bf16 has eight bits
        assert 50 <= float(line.split()[-2]) <= 100
