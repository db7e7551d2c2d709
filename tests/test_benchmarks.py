"""Benchmarks that wait for a machine, or write what pages show: they run, small."""

import math
import re

import pytest
from conftest import ROOT, python_in

from companion.publish import costs


def benchmark(name, *arguments, **more):
    return python_in(ROOT, f"benchmarks/{name}.py", *arguments, **more)


def test_how_growth_and_memory_are_read_off():
    names = "status", "claims", "build"
    points = [
        {"what": what, "count": count, "seconds": dict.fromkeys(names, seconds)}
        for what, count, seconds in (("models", 10, 1.0), ("models", 100, 10.0),
                                     ("families", 5, 1.0), ("families", 10, 1.1))
    ]  # fmt: skip
    assert costs.steepest(points) == pytest.approx(1)  # ten times for ten times as many
    assert costs.steepest(points[2:]) == pytest.approx(math.log(1.1) / math.log(2))
    for axes in costs.growth(points).figure.axes:  # nothing lies outside
        assert axes.get_ylim()[1] > 10
    models = [{"parameters": n, "memory": 5 * n + 7} for n in (1, 2, 4)]
    assert costs.slope_of_memory(models) == pytest.approx((5, 1))


def test_without_a_gpu_the_gpus_benchmark_says_so_in_a_sentence():
    ran = benchmark("gpu", CUDA_VISIBLE_DEVICES="")
    assert ran.returncode == 1 and ran.stdout == ""
    (sentence,) = ran.stderr.splitlines()
    assert sentence.startswith("There is no GPU here, so nothing was measured: call this on")
    assert "--device cpu --images 64 --models RN50" in sentence


def test_its_code_works_on_a_processor():
    ran = benchmark("gpu", "--device", "cpu", "--images", "8", "--models", "pocket-cnn",
                    "pocket-vit")  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = ran.stdout.splitlines()
    assert said[0].startswith("pocket-cnn, bf16: bare encoder channels first ")
    assert re.search(r"so \d+ cores suffice for 95%", said[0])  # how many is the machine's affair
    assert said[2].startswith("2 encoders in one pass")
    changes = [line for line in said if "against fp32" in line]
    assert len(changes) == 2 and all("predictions kept" in line for line in changes)
    for line in changes:  # bf16 has eight bits
        assert 50 <= float(line.split()[-2]) <= 100


@pytest.mark.slow
def test_the_zoos_trial_records_four_measurements_of_a_model():
    ran = benchmark("zoo", "--small")
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert ran.stdout.splitlines()[0].startswith("ViT-S-32: 63 M, ")
    assert ran.stdout.splitlines()[0].endswith(" 4 measurements")


@pytest.mark.slow
def test_growth_has_nothing_to_execute():
    ran = benchmark("growth", "--small", "--only", "families")
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert [line.startswith("{'what': 'families'") for line in ran.stdout.splitlines()] == [
        True
    ] * 2
