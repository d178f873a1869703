"""Steps from slopes, against PyTorch and by hand."""

import torch

from robeval.optimise.rules import Adam, Plain


def test_adam_takes_the_steps_of_pytorch() -> None:
    """Ten steps on the same slopes end where torch.optim.Adam ends."""
    draw = torch.Generator().manual_seed(0)
    slopes = torch.randn(10, 3, 2, generator=draw).double()
    reference = torch.zeros(3, 2).double().requires_grad_()
    optimiser = torch.optim.Adam([reference], lr=0.05, betas=(0.9, 0.99), maximize=True)
    place, rule = torch.zeros(3, 2).double(), Adam(0.05, 0.9, 0.99)
    for slope in slopes:
        place = place + rule.step(slope)
        reference.grad = slope.clone()
        optimiser.step()
    assert torch.allclose(place, reference.detach(), atol=1e-12)


def test_adam_remembers_its_rows() -> None:
    """A selected row goes on with its own memory and step size."""
    size = torch.tensor([0.1, 0.2]).double().view(2, 1)
    rule = Adam(size, fade=0.9)
    slopes = torch.tensor([[[1.0], [2.0]], [[-3.0], [0.5]], [[0.2], [0.1]]]).double()
    for slope in slopes[:2]:
        rule.step(slope)
    second = rule.select(torch.tensor([1]))
    assert torch.equal(second.step(slopes[2, 1:]), rule.step(slopes[2])[1:])


def test_plain_steps_fade() -> None:
    """The third of three steps is the size, times the fading twice, times the slope."""
    rule = Plain(0.5, fade=0.1)
    steps = [rule.step(torch.ones(1, 1)).item() for _ in range(3)]
    assert torch.allclose(torch.tensor(steps), torch.tensor([0.5, 0.05, 0.005]))


def test_plain_steps_differ_by_row() -> None:
    """Each row has its own size and keeps it when rows are selected."""
    rule = Plain(torch.tensor([[1.0], [2.0], [3.0]]))
    assert rule.select(torch.tensor([2, 0])).step(torch.ones(2, 1)).tolist() == [[3.0], [1.0]]
