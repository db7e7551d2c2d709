"""How networks use a machine."""

import resource
import sys

import pytest
import torch

from analysis.features.devices import computing


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be told to keep memory")
def test_while_networks_compute_freed_memory_is_kept_and_not_afterwards():
    network = torch.nn.Conv2d(3, 64, 3)
    images = torch.zeros(4, 3, 224, 224)  # 50 MB for what comes out

    def pages_taken():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(4):
            with torch.inference_mode():
                network(images)
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    threads = torch.get_num_threads()
    with computing([network]):
        assert torch.get_num_threads() == 1
        kept = min(pages_taken() for _ in range(5))  # the first takes what is kept then
    assert torch.get_num_threads() == threads
    assert 100 * kept < pages_taken()
