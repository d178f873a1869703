"""The audit catches every canary and no honest cell."""

from pathlib import Path

import pytest

from robeval.engine.cache import Cache
from robeval.plugins.discovery import built_in
from robeval.plugins.registry import Registry
from robeval.testing import linear
from robeval.testing.proving import BROKEN, Proof, provable, prove


@pytest.fixture
def registry() -> Registry:
    """The built-in plugins and the closed-form domain."""
    made = built_in()
    linear.register(made)
    return made


@pytest.fixture
def proofs(registry: Registry, tmp_path: Path) -> list[Proof]:
    """The proof on the closed-form domain."""
    return prove("linear", registry, Cache(tmp_path / "cache"), tmp_path / "run")


def test_every_canary_is_caught_by_its_check_and_the_honest_cell_by_none(proofs: list[Proof]) -> None:
    """All expectations hold, and each broken defense and the weak attack has one."""
    assert [proof for proof in proofs if not proof.holds] == []
    assert sorted(proof.expected for proof in proofs) == sorted(["", "random-noise", *BROKEN.values()])


def test_a_proof_fails_for_a_flag_that_is_missing_or_one_too_many() -> None:
    """An honest cell with a flag and a canary without its own are both failures."""
    assert not Proof("honest", "", ("one-step",)).holds
    assert not Proof("broken", "gradient-path", ("one-step",)).holds


def test_a_domain_without_continuous_inputs_cannot_be_proven(registry: Registry) -> None:
    """The trajectory domain names what a proof needs; one without continuous inputs does not."""

    class Discrete(linear.LinearDomain):
        continuous = ()

    assert provable(registry.load("domain", "trajectory"))
    assert not provable(Discrete)


@pytest.mark.slow
def test_the_trajectory_domain_passes_its_proof(registry: Registry, tmp_path: Path) -> None:
    """The default victim's canaries are caught, its strong attack is not flagged."""
    proofs = prove("trajectory", registry, Cache(tmp_path / "cache"), tmp_path / "run")
    assert [proof for proof in proofs if not proof.holds] == []
