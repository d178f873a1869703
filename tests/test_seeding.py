"""Seeding: every row has its own numbers, whatever stands beside it."""

import pytest
import torch

from robeval.seeding import Draws, Noise, Seed

IDS = tuple(f"example-{number}" for number in range(6))


@pytest.fixture
def seed() -> Seed:
    """Some node of the tree."""
    return Seed(7).child("cell", 3)


@pytest.fixture
def many(seed: Seed) -> Draws:
    """Enough rows for statistics."""
    return seed.draws([str(number) for number in range(2_000)])


KINDS = {
    "uniform": lambda draw: draw.uniform(3, 2, low=-1.0, high=4.0),
    "normal": lambda draw: draw.normal(3, 2, std=2.0),
    "integers": lambda draw: draw.integers(100, 3, 2),
    "coin": lambda draw: draw.coin(0.5, 8, 8),
    "bits": lambda draw: draw.bits(3, 2),
    "choice": lambda draw: draw.choice(torch.ones(len(draw), 97)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_does_not_depend_on_its_neighbours(seed: Seed, kind: str) -> None:
    """Alone, reordered or in a batch, an example draws the same numbers, call after call."""
    together, alone, reversed_ = seed.draws(IDS), seed.draws(IDS[2:3]), seed.draws(IDS[::-1])
    for _ in range(3):
        everyone = KINDS[kind](together)
        assert torch.equal(everyone[2:3], KINDS[kind](alone))
        assert torch.equal(everyone.flip(0), KINDS[kind](reversed_))


@pytest.mark.parametrize("kind", KINDS)
def test_draws_repeat_with_their_seed_and_differ_with_another(seed: Seed, kind: str) -> None:
    """The same seed gives the same numbers; a child of another name, another row or another call does not."""
    first = KINDS[kind](seed.draws(IDS))
    assert torch.equal(first, KINDS[kind](seed.draws(IDS)))
    assert not torch.equal(first, KINDS[kind](seed.child("other").draws(IDS)))
    draws = seed.draws(IDS)
    KINDS[kind](draws)
    assert not torch.equal(first, KINDS[kind](draws))
    assert len(first.flatten(1).unique(dim=0) if first.dim() > 1 else first.unique()) > 1


def test_adding_restarts_keeps_the_earlier_ones(seed: Seed) -> None:
    """Five restarts are the first three and two more, for every example."""
    few = seed.draws(IDS).repeat(3).normal(4).unflatten(0, (len(IDS), 3))
    more = seed.draws(IDS).repeat(5).normal(4).unflatten(0, (len(IDS), 5))
    assert torch.equal(few, more[:, :3])
    assert len(more.flatten(0, 1).unique(dim=0)) == len(IDS) * 5


def test_selected_rows_go_on_where_they_were(seed: Seed) -> None:
    """Dropping finished examples does not change the others' later numbers."""
    whole, part = seed.draws(IDS), seed.draws(IDS)
    whole.uniform(3), part.uniform(3)
    rows = torch.tensor([4, 1])
    part = part.select(rows)
    assert torch.equal(whole.uniform(3)[rows], part.uniform(3))


def test_forks_are_independent_of_each_other_and_of_their_source(seed: Seed) -> None:
    """Two names give two streams, each repeatable."""
    draws = seed.draws(IDS)
    one, other = draws.fork("one").normal(50), draws.fork("other").normal(50)
    assert torch.equal(one, seed.draws(IDS).fork("one").normal(50))
    assert not torch.equal(one, other)
    assert not torch.equal(one, draws.normal(50))


def test_uniform_numbers_fill_their_range_evenly(many: Draws) -> None:
    """Mean, variance and ten bins of 200,000 numbers are within five standard errors."""
    values = many.uniform(100, low=-2.0, high=6.0, dtype=torch.float64)
    assert values.min() >= -2.0
    assert values.max() < 6.0
    count = values.numel()
    spread = 8 / 12**0.5
    assert abs(values.mean() - 2.0) < 5 * spread / count**0.5
    assert abs(values.var() / spread**2 - 1) < 5 * (0.8 / count) ** 0.5
    bins = torch.histc(values.float(), bins=10, min=-2.0, max=6.0) / count
    assert (bins - 0.1).abs().max() < 5 * (0.09 / count) ** 0.5


def test_normal_numbers_are_normal(many: Draws) -> None:
    """Moments and tails of 200,000 numbers are within five standard errors."""
    values = many.normal(100, std=3.0, dtype=torch.float64) / 3.0
    count = values.numel()
    assert values.isfinite().all()
    assert abs(values.mean()) < 5 / count**0.5
    assert abs(values.var() - 1) < 5 * (2 / count) ** 0.5
    assert abs((values**4).mean() - 3) < 5 * (96 / count) ** 0.5
    assert abs((values.abs() > 1.959964).double().mean() - 0.05) < 5 * (0.05 * 0.95 / count) ** 0.5


def test_rows_calls_and_elements_are_uncorrelated(many: Draws) -> None:
    """Neighbouring rows, calls and elements share nothing: correlations are within five standard errors."""
    first, second = many.normal(50, dtype=torch.float64), many.normal(50, dtype=torch.float64)
    limit = 5 / first.numel() ** 0.5
    assert abs((first * second).mean()) < limit
    assert abs((first[1:] * first[:-1]).mean()) < limit
    assert abs((first[:, 1:] * first[:, :-1]).mean()) < limit


def test_integers_and_choices_follow_their_weights(many: Draws) -> None:
    """Every integer is as likely as the next, and an option of weight zero is never chosen."""
    integers = many.integers(5, 100)
    share = torch.bincount(integers.flatten(), minlength=5) / integers.numel()
    assert share.numel() == 5
    assert (share - 0.2).abs().max() < 5 * (0.16 / integers.numel()) ** 0.5
    chosen = many.choice(torch.tensor([0.0, 3.0, 0.0, 1.0]).expand(len(many), 4))
    share = torch.bincount(chosen, minlength=4) / len(many)
    assert share[0] == share[2] == 0
    assert abs(share[1] - 0.75) < 5 * (0.1875 / len(many)) ** 0.5


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_coins_fall_as_often_as_they_should(many: Draws, probability: float) -> None:
    """Zero never, one always."""
    coins = many.coin(probability, 100).double()
    margin = 5 * (probability * (1 - probability) / coins.numel()) ** 0.5
    assert abs(coins.mean() - probability) <= margin


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_draws_have_the_asked_shape_and_precision(seed: Seed, dtype: torch.dtype) -> None:
    """Rows first, then the shape; no shape gives one number a row."""
    draws = seed.draws(IDS)
    assert draws.uniform(2, 3, dtype=dtype).shape == (6, 2, 3)
    assert draws.normal(dtype=dtype).shape == (6,)
    assert draws.normal(2, dtype=dtype).dtype == dtype
    assert draws.integers(3, 2).dtype == torch.int64
    assert draws.coin(0.5).dtype == torch.bool
    assert len(draws) == 6


def test_an_empty_batch_draws_nothing(seed: Seed) -> None:
    """No examples, no numbers, no error."""
    assert seed.draws(()).uniform(3).shape == (0, 3)


def test_draws_stay_on_their_device(seed: Seed) -> None:
    """The meta device stands for any accelerator."""
    assert seed.draws(IDS, "meta").repeat(2).normal(3).device.type == "meta"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_numbers(seed: Seed) -> None:
    """Streams are counter based, so the device does not matter."""
    assert torch.equal(seed.draws(IDS).uniform(9), seed.draws(IDS, "cuda").uniform(9).cpu())


def test_no_global_state_is_read_or_written(seed: Seed) -> None:
    """Seeding or using PyTorch's generator changes nothing, and drawing leaves it alone."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = seed.draws(IDS).normal(3)
    seed.generator(), seed.numpy()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(first, seed.draws(IDS).normal(3))


def test_children_are_named_and_never_collide() -> None:
    """Ten thousand names give ten thousand seeds, and the path matters."""
    root = Seed(0)
    assert root.child("a") == Seed(0).child("a")
    assert root.child("a").child("b") != root.child("b").child("a")
    assert root.child("a", "b") != root.child("ab")
    assert len({root.child("x", number) for number in range(10_000)}) == 10_000


@pytest.mark.parametrize("value", [0, 1, -1, 2**63 - 1, -(2**63)])
def test_any_seed_serves_the_libraries(value: int) -> None:
    """PyTorch, numpy and those that want a small integer all take it."""
    seed = Seed(value)
    assert torch.rand(2, generator=seed.generator()).shape == (2,)
    assert seed.numpy().random() < 1
    assert 0 <= seed.integer() < 2**31


def test_noise_is_fixed_by_example_and_round() -> None:
    """The same example meets the same noise in a round, and other noise in the next."""
    noise = Noise(Seed(3))
    first = noise(IDS).normal(5)
    assert torch.equal(first[1:2], noise(IDS[1:2]).normal(5))
    noise.round = 1
    assert not torch.equal(first, noise(IDS).normal(5))
    assert noise.state_dict() == {}
