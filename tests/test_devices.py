"""How networks use a machine."""

import torch

from analysis.features.devices import computing


def test_a_small_network_computes_in_one_thread_and_others_as_before():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with computing([torch.nn.Linear(4, 4)]):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)
