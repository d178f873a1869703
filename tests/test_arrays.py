"""Batches: moving, slicing, repeating and joining examples."""

from dataclasses import FrozenInstanceError, dataclass

import pytest
import torch
from torch import Tensor

from robeval.arrays import Batch, is_finite, per_example, straight_through


@dataclass(frozen=True)
class Walk(Batch):
    """One path per example, a label each, and a step length that all share."""

    path: Tensor
    seen: Tensor
    label: tuple[str, ...]
    dt: float


@pytest.fixture
def walks() -> Walk:
    """Four examples; example n has n in every place."""
    numbers = torch.arange(4)
    path = numbers.float().view(4, 1, 1).expand(4, 3, 2).contiguous()
    return Walk(tuple("abcd"), path, numbers % 2 == 0, tuple("stuv"), 0.5)


def test_length_is_the_number_of_examples(walks: Walk) -> None:
    """Ids are what is counted, also when there are none."""
    assert len(walks) == 4
    assert len(walks.select([])) == 0
    assert walks.select([]).path.shape == (0, 3, 2)


@pytest.mark.parametrize(
    "rows",
    [[2, 0], torch.tensor([2, 0]), (2, 0)],
    ids=["list", "tensor", "tuple"],
)
def test_rows_are_taken_in_the_asked_order(walks: Walk, rows: object) -> None:
    """Tensors, ids and labels stay together; shared fields stay."""
    part = walks.select(rows)  # type: ignore[arg-type]
    assert part.ids == ("c", "a")
    assert part.label == ("u", "s")
    assert part.path[:, 0, 0].tolist() == [2.0, 0.0]
    assert part.seen.tolist() == [True, True]
    assert part.dt == 0.5


def test_masks_and_slices_select_too(walks: Walk) -> None:
    """A boolean mask keeps the order, a slice may step and count from the end."""
    assert walks.select(walks.seen).ids == ("a", "c")
    assert walks.select(torch.zeros(4, dtype=torch.bool)).ids == ()
    assert walks.select(slice(1, 3)).ids == ("b", "c")
    assert walks.select(slice(None, None, 2)).ids == ("a", "c")
    assert walks.select([-1]).ids == ("d",)
    assert walks.select([1, 1]).ids == ("b", "b")


def test_a_row_that_does_not_exist_is_an_error(walks: Walk) -> None:
    """No silent wrapping beyond the batch."""
    with pytest.raises(IndexError):
        walks.select([4])


def test_restarts_of_an_example_are_adjacent(walks: Walk) -> None:
    """Rows follow the order that Draws.repeat uses."""
    rows = walks.select([0, 1]).repeat(3)
    assert rows.ids == ("a", "a", "a", "b", "b", "b")
    assert rows.path[:, 0, 0].tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert rows.label == ("s", "s", "s", "t", "t", "t")
    assert walks.repeat(1) is walks


def test_joining_undoes_slicing(walks: Walk) -> None:
    """Parts in order give back the whole, bit for bit."""
    assert Walk.join([walks.select([0]), walks.select(slice(1, None))]).identical(walks)


def test_joining_needs_batches_that_agree(walks: Walk) -> None:
    """Different shared fields are refused by name, and so is nothing at all."""
    with pytest.raises(ValueError, match="'dt'"):
        Walk.join([walks, walks.replace(dt=0.1)])
    with pytest.raises(ValueError, match="no Walk"):
        Walk.join([])


def test_moving_keeps_precision_and_everything_else(walks: Walk) -> None:
    """A move to another device changes neither types nor the original."""
    moved = walks.replace(path=walks.path.double()).to("meta")
    assert moved.device.type == "meta"
    assert moved.path.dtype == torch.float64
    assert moved.seen.dtype == torch.bool
    assert moved.label == walks.label
    assert walks.device.type == "cpu"


def test_a_batch_without_tensors_is_on_the_cpu() -> None:
    """Text-only batches have a device all the same."""
    assert Batch(("a",)).device.type == "cpu"


def test_batches_cannot_be_changed(walks: Walk) -> None:
    """An attack makes a new batch from the clean one."""
    with pytest.raises(FrozenInstanceError):
        walks.dt = 1.0  # type: ignore[misc]


def test_identity_is_bit_for_bit_and_nan_equals_nan(walks: Walk) -> None:
    """One changed value, id or NaN position makes a difference; the same NaN does not."""
    holed = walks.path.clone()
    holed[1, 1, 1] = float("nan")
    zeroed = holed.nan_to_num()
    assert walks.replace(path=holed).identical(walks.replace(path=holed.clone()))
    assert not walks.replace(path=holed).identical(walks.replace(path=zeroed))
    assert not walks.identical(walks.replace(path=walks.path + 1e-6))
    assert not walks.identical(walks.replace(label=tuple("stuw")))
    assert not walks.identical(walks.replace(ids=tuple("abce")))
    assert not walks.identical(walks.select([0, 1]))


def test_changed_rows_are_found_in_tensors_texts_and_nan(walks: Walk) -> None:
    """A row has changed when one of its values, texts or NaN positions has; NaN equals NaN."""
    holed = walks.path.clone()
    holed[1, 1, 1] = float("nan")
    assert walks.replace(path=holed).changed(walks).tolist() == [False, True, False, False]
    assert walks.replace(path=holed).changed(walks.replace(path=holed.clone())).tolist() == [False] * 4
    assert walks.replace(label=tuple("stuw")).changed(walks).tolist() == [
        a != b for a, b in zip("stuw", walks.label, strict=True)
    ]


def test_per_example_has_one_row_an_example() -> None:
    """Whatever the shape was."""
    assert per_example(torch.zeros(4, 3, 2)).shape == (4, 6)
    assert per_example(torch.zeros(4)).shape == (4, 1)


def test_finiteness_is_judged_per_example(walks: Walk) -> None:
    """NaN and infinity in any floating tensor count; integers and booleans are always finite."""
    path, speed = walks.path.clone(), torch.zeros(4)
    path[1, 0, 0], speed[2] = float("nan"), float("inf")
    values = {"path": path, "speed": speed, "seen": walks.seen}
    assert is_finite(values, 4).tolist() == [True, False, False, True]
    assert is_finite({}, 2).tolist() == [True, True]


def test_straight_through_is_exact_forward_and_passes_the_gradient() -> None:
    """The value is the rounded one, the slope that of what was rounded."""
    x = torch.tensor([0.4, 1.6], requires_grad=True)
    y = straight_through(x.round(), 3 * x)
    torch.testing.assert_close(y.detach(), torch.tensor([0.0, 2.0]))
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert slope.tolist() == [3.0, 3.0]
