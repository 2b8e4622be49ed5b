"""The optimizer against torch's own Muon, which takes plain matrices only."""

import pytest
import torch
from torch import nn

from dolls.training.optimizer import Optimizer, orthogonal


def gradients(shapes, step):
    generator = torch.Generator().manual_seed(step)
    return [torch.randn(shape, generator=generator) for shape in shapes]


@pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch has Muon since 2.9")
def test_matrices_go_where_torchs_muon_takes_them():
    shapes = [(64, 80), (64, 80), (96, 64)]
    start = gradients(shapes, 0)
    ours, theirs = ([nn.Parameter(p.clone()) for p in start] for _ in range(2))
    mine = Optimizer(ours)
    reference = torch.optim.Muon(theirs, lr=1e-2, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    for step in range(1, 5):
        for parameters in (ours, theirs):
            for p, gradient in zip(parameters, gradients(shapes, step), strict=True):
                p.grad = gradient
        mine.step(1e-2)
        reference.step()
    for p, q, begun in zip(ours, theirs, start, strict=True):
        # Both iterate in bfloat16; theirs rounds the gradient before it is scaled, ours after.
        assert (p - q).norm() < 0.02 * (q - begun).norm()


def test_convolutions_are_matrices_and_small_things_are_adamws():
    shapes = [(64, 64, 3, 3), (64,), (6, 320), (4, 64, 3, 3)]
    parameters = [nn.Parameter(p) for p in gradients(shapes, 0)]
    optimizer = Optimizer(parameters)
    assert [p.shape for p in optimizer.matrices] == [(64, 64, 3, 3)]
    before = parameters[0].detach().clone()
    for p, gradient in zip(parameters, gradients(shapes, 1), strict=True):
        p.grad = gradient
    optimizer.step(1e-2)
    assert all(p.grad is None for p in parameters)
    moved = (parameters[0] - (1 - 1e-4) * before).detach().flatten(1) / (1e-2 * 0.2 * 576**0.5)
    singular = torch.linalg.svdvals(moved)
    assert singular.min() > 0.6 and singular.max() < 1.3


@pytest.mark.parametrize("shape", [(1, 64, 64), (2, 64, 576), (3, 512, 64)])
def test_orthogonal(shape):
    made = orthogonal(torch.randn(shape, generator=torch.Generator().manual_seed(1)))
    singular = torch.linalg.svdvals(made)
    assert made.shape == shape and singular.min() > 0.3 and singular.max() < 1.3
