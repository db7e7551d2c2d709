"""The benchmark that waits for a GPU runs on a processor."""

import re

from conftest import ROOT, python_in


def benchmark(name, *arguments, **more):
    return python_in(ROOT, f"benchmarks/{name}.py", *arguments, **more)


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
