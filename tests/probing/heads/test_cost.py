"""The operations of a head are counted by hand."""

import torch
from torch import nn

from toolkit_probing.heads.cost import forward_flops
from toolkit_probing.probes import EfficientProbing


def test_a_linear_layer_takes_two_operations_a_weight():
    assert forward_flops(nn.Linear(6, 5), torch.zeros(3, 6)) == 2 * 3 * 6 * 5


def test_ep_takes_two_reads_of_the_tokens_and_one_projection():
    n, d, q = 10, 16, 4
    counted = forward_flops(EfficientProbing(d, num_queries=q), torch.zeros(1, n, d))
    assert counted == 2 * (2 * n * d * q + d * d)


def test_counting_leaves_the_module_as_it_was():
    probe = EfficientProbing(16, num_queries=4).train()
    forward_flops(probe, torch.zeros(1, 3, 16))
    assert probe.training
    assert probe.queries.device.type == "cpu"
