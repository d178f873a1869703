"""The kit catches what it is for: each broken plugin fails the check that is made for its fault, and only in words."""

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field
from torch import nn

from robeval import Attack, Budget, Defense, Seed, ThreatModel
from robeval.arrays import straight_through
from robeval.errors import PluginError
from robeval.testing import Broken, checks, conforms
from robeval.testing.conformance import known
from robeval.testing.linear import LinearDomain, PointData, Points, RandomCorner

DISTANCE = Budget("distance", "", 0.5)


@dataclass(frozen=True)
class Faulty(Attack[Points]):
    """Has one fault. Source: this test."""

    threat = ThreatModel("score", DISTANCE, queries=3)
    fault: Annotated[str, Field(description="which")] = "nothing"

    def perturb(self, view: Any, batch: Points, budget: float, draw: Any) -> Points:
        side = 2.0 * draw.coin(0.5, 2).to(batch.point) - 1.0
        match self.fault:
            case "too far":
                return batch.replace(point=batch.point + 2 * budget * side)
            case "own budget":
                return batch.replace(point=batch.point + 0.5 * side)
            case "nan":
                return batch.replace(point=batch.point * torch.nan)
            case "global randomness":
                return batch.replace(point=batch.point + budget * torch.rand_like(batch.point))
            case "neighbours":
                return batch.replace(point=batch.point + budget * (batch.point - batch.point.mean(0)).tanh())
            case "ungranted":
                view.module(batch)
            case "questions":
                for _ in range(3):
                    view(batch)
            case "writes":
                batch.point.add_(budget)
            case "widens":
                return batch.replace(point=batch.point.double())
            case "reorders":
                return batch.select(list(range(len(batch)))[::-1])
        return batch.replace(point=batch.point + budget * side)


def failures(kind: str, plugin: Any, **setting: Any) -> dict[str, str]:
    """The checks that a plugin of the linear domain fails, and their messages."""
    found = {}
    for bound in checks(kind, plugin, "linear", **setting):
        try:
            bound()
        except Broken as error:
            found[str(bound)] = str(error)
        except pytest.skip.Exception:
            pass
    return found


@pytest.mark.parametrize(
    ("fault", "check", "said"),
    [
        ("too far", "budget-kept", "exceed distance"),
        ("own budget", "budget-kept", "by the `budget` that perturb is given"),
        ("nan", "budget-kept", "NaN or out of range"),
        ("global randomness", "deterministic", "global generator"),
        ("neighbours", "batch-independent", "come out otherwise"),
        ("ungranted", "access-honoured", "AccessError"),
        ("writes", "input-not-mutated", "wrote into its input"),
        ("widens", "device-and-dtype-kept", "torch.float64"),
        ("reorders", "device-and-dtype-kept", "other examples"),
    ],
)
def test_each_fault_of_an_attack_is_named(fault: str, check: str, said: str) -> None:
    """The right check fails, and its message says what to do."""
    found = failures("attack", Faulty, options={"fault": fault})
    assert said in found[check]
    assert f"attack 'under-test' fails the check '{check}'" in found[check]


@pytest.mark.parametrize("fault", ["nothing", "questions"])
def test_a_sound_attack_fails_nothing(fault: str) -> None:
    """Also one that uses up its limited queries."""
    assert failures("attack", Faulty, options={"fault": fault}) == {}


def test_one_line_is_enough() -> None:
    """`conforms` passes a sound attack and raises at a broken one."""
    conforms("attack", RandomCorner, domain="linear")
    with pytest.raises(Broken, match="budget-kept"):
        conforms("attack", Faulty, domain="linear", options={"fault": "too far"})


def test_an_unknown_kind_is_told() -> None:
    """The kinds are listed."""
    with pytest.raises(PluginError, match="attack, defense, dataset, victim, domain"):
        checks("atack", Faulty, "linear")


class Around(nn.Module):
    """A victim with a fault around it."""

    def __init__(self, victim: nn.Module, fault: str) -> None:
        super().__init__()
        self.victim, self.fault = victim, fault

    def forward(self, batch: Points) -> Any:
        match self.fault:
            case "rounds":
                return self.victim(batch.replace(point=batch.point.round()))
            case "rounds openly":
                return self.victim(batch.replace(point=straight_through(batch.point.round(), batch.point)))
            case "neighbours":
                return self.victim(batch) - self.victim(batch).mean()
            case "noise":
                return self.victim(batch) + torch.rand(len(batch))
            case "nan":
                return self.victim(batch) * torch.nan
            case "writes":
                batch.point.add_(1.0)
        return self.victim(batch)


@dataclass(frozen=True)
class Shield(Defense):
    """Has one fault. Source: this test."""

    fault: Annotated[str, Field(description="which")] = "nothing"

    def harden(self, victim: Any, data: Any, seed: Seed) -> nn.Module:
        if self.fault == "weights":
            victim.weight.data.neg_()
        return Around(victim, self.fault)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("rounds", "gradient-as-declared"),
        ("neighbours", "harden-batch-independent"),
        ("noise", "harden-deterministic"),
        ("nan", "harden-batch-independent"),
        ("writes", "harden-reads-only"),
        ("weights", "victim-kept"),
    ],
)
def test_each_fault_of_a_defense_is_named(fault: str, check: str) -> None:
    """A rounded input that claims an exact gradient among them."""
    assert check in failures("defense", Shield, options={"fault": fault})


@pytest.mark.parametrize("fault", ["nothing", "rounds openly"])
def test_a_sound_defense_fails_nothing(fault: str) -> None:
    """Also one whose gradient passes straight through."""
    assert failures("defense", Shield, options={"fault": fault}) == {}


class Leaky(PointData):
    """Gives the same ids to every split."""

    def load(self, split: Any) -> Points:
        return super().load("train")


class Restless(PointData):
    """Draws from the global generator."""

    def load(self, split: Any) -> Points:
        points = super().load(split)
        return points.replace(point=points.point + torch.rand_like(points.point))


class Blurred(PointData):
    """Forgets an option in its fingerprint."""

    def fingerprint(self) -> str:
        return "the same"


@pytest.mark.parametrize(
    ("plugin", "check"), [(Leaky, "ids-unique"), (Restless, "loads-the-same"), (Blurred, "fingerprint-tells")]
)
def test_each_fault_of_a_dataset_is_named(plugin: type, check: str) -> None:
    """Leaks between splits, randomness, and a fingerprint that would let the cache lie."""
    assert check in failures("dataset", plugin)


class Charging(LinearDomain):
    """Charges for nothing."""

    name = "linear"

    def spent(self, clean: Points, adversarial: Points) -> Any:
        return {"distance": super().spent(clean, adversarial)["distance"] + 1}


def test_a_domain_that_charges_for_nothing_is_named() -> None:
    """An unchanged example has spent nothing."""
    assert set(failures("domain", Charging, registry=known())) == {"nothing-spent"}
