"""Adam over rows that may leave."""

import pytest
import torch

from robeval_attacks.diffusion.adam import Adam


@pytest.mark.parametrize(("decoupled", "kind"), [(False, torch.optim.Adam), (True, torch.optim.AdamW)])
def test_it_steps_as_torch_does(decoupled: bool, kind: type[torch.optim.Optimizer]) -> None:
    """Ten steps with weight decay end where torch's own end."""
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, generator=draw, dtype=torch.double)
    slopes = torch.randn(10, 3, 4, generator=draw, dtype=torch.double)
    theirs = start.clone().requires_grad_()
    optimiser = kind([theirs], lr=0.05, weight_decay=0.1)  # type: ignore[call-arg]
    adam, mine = Adam.of(start, 0.05, 0.1, decoupled), start
    for slope in slopes:
        theirs.grad = slope.clone()
        optimiser.step()
        adam, mine = adam.step(mine, slope)
    torch.testing.assert_close(mine, theirs.detach())


def test_a_row_goes_on_alone_as_it_would_have_in_company() -> None:
    """Dropping the other rows half-way changes nothing for those that stay."""
    slopes = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.double)
    start = torch.zeros(3, 2, dtype=torch.double)
    whole, value = Adam.of(start, 0.1, 0.0, False), start
    part, kept = whole, value
    stay = torch.tensor([0, 2])
    for number, slope in enumerate(slopes):
        whole, value = whole.step(value, slope)
        part, kept = part.step(kept, slope if number < 3 else slope[stay])
        if number == 2:
            part, kept = part.select(stay), kept[stay]
    torch.testing.assert_close(kept, value[stay])
