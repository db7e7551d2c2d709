"""The benchmark that waits for a GPU runs on a processor."""

import re
import sys

from conftest import ROOT


def test_its_code_works_on_a_processor(monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import gpu

    line = "gpu.py --device cpu --images 8 --models pocket-cnn pocket-vit"
    monkeypatch.setattr(sys, "argv", line.split())
    gpu.main()
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("pocket-cnn, bf16: bare encoder channels first ")
    assert re.search(r"so \d+ cores suffice for 95%", said[0])  # how many is the machine's affair
    assert said[2].startswith("2 encoders in one pass")
    changes = [line for line in said if "against fp32" in line]
    assert len(changes) == 2 and all("predictions kept" in line for line in changes)
    for line in changes:  # bf16 has eight bits
        assert 50 <= float(line.split()[-2]) <= 100
