"""An audit of a run: further cells, verdicts, counter-measures, and what becomes stale."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from robeval import Defense, Seed
from robeval.engine.audit import audit
from robeval.engine.cache import Cache
from robeval.engine.plan import Plan
from robeval.engine.progress import Watcher
from robeval.engine.run import Outcome
from robeval.errors import OptionError, StoreError, UnknownPlugin, UsageError
from robeval.plugins.data import Dataset
from robeval.plugins.registry import Registry
from robeval.plugins.specs import PluginSpec
from robeval.plugins.threat import Budget
from robeval.report.summary import read_run
from robeval.results.audit import AuditRecord, read_audit
from robeval.results.records import CellRecord
from robeval.testing.canaries import register as register_canaries
from robeval.testing.linear import Points
from robeval.trust.audit import builtin
from robeval.trust.audit.contract import AuditCheck, Case
from robeval.trust.audit.contract import Outcome as Answer

Run = Callable[..., Outcome]
Audited = Callable[..., AuditRecord]
QUANTISED = "canary-quantised:fields=[point]"


class Proven(nn.Module):
    """A victim that claims a bound, true or not."""

    radius = 1.0
    radius_budget = Budget("distance", "", 1.0)

    def __init__(self, victim: nn.Module, claimed: float) -> None:
        super().__init__()
        self.victim, self.claimed = victim, claimed

    def forward(self, batch: Points) -> Tensor:
        answer: Tensor = self.victim(batch)
        return answer

    def certify(self, batch: Points) -> Mapping[str, Tensor]:
        return {"accuracy": torch.full((len(batch),), self.claimed)}


@dataclass(frozen=True)
class Claims(Defense):
    """Claims that at least this accuracy is left within a distance of 1."""

    certifies: ClassVar[bool] = True
    claimed: Annotated[float, Field(ge=0, le=1)] = 0.0

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        return Proven(victim, self.claimed)


@pytest.fixture
def registry(registry: Registry) -> Registry:
    """The closed-form domain, the canaries, a defense with a claim, and the audit checks."""
    builtin.register(registry)
    register_canaries(registry)
    registry.defense("linear/claims", Claims)
    return registry


@pytest.fixture
def audited(plan: Callable[..., Plan], execute: Run, cache: Cache, tmp_path: Path) -> Audited:
    """Runs an experiment and audits it."""

    def done(
        checks: tuple[str, ...] = (), counter: bool = False, examples: int = 32, **fields: Any
    ) -> AuditRecord:
        execute(**fields)
        return audit(
            plan(**fields),
            tmp_path / "run",
            cache,
            Watcher(),
            checks=tuple(PluginSpec.parse(text) for text in checks),
            counter=counter,
            examples=examples,
        )

    return done


def record(folder: Path, attack: str, defense: str, **more: str) -> CellRecord:
    """The one record of a place, as a report reads it."""
    (found,) = [
        cell
        for cell in read_run(folder).cells
        if cell.attack == attack
        and cell.defense == defense
        and all(getattr(cell, name) == value for name, value in ({"counter": ""} | more).items())
    ]
    return found


def flags(found: AuditRecord, cell: CellRecord) -> set[str]:
    """The checks that flagged a cell."""
    return {entry.check for entry in found.entries if entry.cell == cell.id and entry.outcome == "flag"}


def test_an_honest_cell_passes_every_check(audited: Audited, tmp_path: Path) -> None:
    """Gradient steps against the plain line are flagged by nobody, and the verdict stays ok."""
    found = audited(attacks=("none", "steps"))
    assert len(found.entries) == 9
    assert {entry.outcome for entry in found.entries} == {"pass", "n/a"}
    assert record(tmp_path / "run", "steps", "none").verdict == "ok"


def test_a_masked_gradient_turns_the_verdict(audited: Audited, tmp_path: Path) -> None:
    """The quantised victim is suspicious in every report that is read after the audit, with the stage's name."""
    found = audited(attacks="steps", defenses=(QUANTISED,))
    cell = record(tmp_path / "run", "steps", QUANTISED)
    assert "gradient-path" in flags(found, cell)
    assert cell.verdict == "suspicious"
    assert any("'stage'" in evidence.message for evidence in cell.evidence)


def test_counter_measures_reach_the_worst_case_again(audited: Audited, tmp_path: Path) -> None:
    """Straight-through gradients take the quantised victim down to where the attack took the plain one."""
    found = audited(attacks="steps", defenses=("none", QUANTISED), counter=True)
    folder = tmp_path / "run"
    plain = record(folder, "steps", "none").metrics["accuracy"].value
    masked = record(folder, "steps", QUANTISED)
    relayed = record(folder, "steps", QUANTISED, counter="straight-through").metrics["accuracy"].value
    assert (masked.metrics["accuracy"].value or 0) > 0.9
    assert relayed is not None
    assert plain is not None
    assert relayed <= plain + 0.1
    (again,) = [entry for entry in found.rescored if entry.cell == masked.id]
    worst = {cell.id: cell for cell in read_run(folder).cells}[again.worst]
    assert (worst.metrics["accuracy"].value or 0) <= relayed


def test_averaging_over_draws_sees_through_the_ripple(audited: Audited, tmp_path: Path) -> None:
    """The counter-measure for randomness does more harm than the single draw."""
    rippled = "canary-rippled:fields=[point]"
    found = audited(attacks="steps", defenses=(rippled,), counter=True)
    folder = tmp_path / "run"
    single = record(folder, "steps", rippled)
    averaged = record(folder, "steps", rippled, counter="expectation")
    assert "noisy-gradient" in flags(found, single)
    assert (averaged.metrics["accuracy"].value or 0) < (single.metrics["accuracy"].value or 0)
    assert averaged.cost.forward == 16 * single.cost.forward


@pytest.mark.parametrize(("claimed", "expected"), [(0.0, "ok"), (1.0, "invalid")])
def test_a_beaten_certificate_makes_the_figure_invalid(
    audited: Audited, tmp_path: Path, claimed: float, expected: str
) -> None:
    """An attack within the radius that does worse than the claim fails the cell; a true claim does not."""
    audited(attacks="steps", defenses=(f"claims:claimed={claimed}",), checks=("certificate-holds",))
    (cell,) = [c for c in read_run(tmp_path / "run").cells if c.attack == "steps"]
    assert cell.verdict == expected


def test_further_cells_stay_out_of_the_matrix(audited: Audited, tmp_path: Path) -> None:
    """Without --counter the run lists the cells that were asked for, and the further ones lie in audit/."""
    audited(attacks="steps")
    assert {cell.attack for cell in read_run(tmp_path / "run").cells} == {"steps"}
    assert len(list((tmp_path / "run/audit/cells").glob("*.json"))) >= 4


def test_a_second_audit_computes_no_cell(audited: Audited, tmp_path: Path) -> None:
    """The further cells are found where the first audit left them."""
    audited(attacks="steps")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run/audit/cells").glob("*.json")}
    audited(attacks="steps")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "run/audit/cells").glob("*.json")}


def test_an_audit_of_cells_that_changed_since_is_forgotten(audited: Audited, tmp_path: Path) -> None:
    """What was said of a record holds for that record only."""
    audited(attacks="steps", defenses=(QUANTISED,))
    folder = tmp_path / "run"
    (path,) = (folder / "cells").glob("*.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"n": 63}))
    kept = read_audit(folder)
    assert kept is not None
    assert kept.entries == []
    assert "gradient-path" not in {e.check for e in record(folder, "steps", QUANTISED).evidence}


def test_a_damaged_audit_is_no_audit(audited: Audited, tmp_path: Path) -> None:
    """A report of a run with a half-written audit.json still works."""
    audited(attacks="steps")
    (tmp_path / "run/audit.json").write_text("{")
    assert read_audit(tmp_path / "run") is None
    assert record(tmp_path / "run", "steps", "none").verdict == "ok"


def test_checks_can_be_chosen_and_set(audited: Audited) -> None:
    """One named check with another threshold is all that is asked."""
    found = audited(attacks="steps", checks=("one-step:share=0.01",))
    assert [(entry.check, entry.outcome) for entry in found.entries] == [("one-step", "flag")]


def test_unknown_checks_and_thresholds_are_usage_errors(audited: Audited) -> None:
    """The nearest right name is offered."""
    with pytest.raises(UnknownPlugin, match="one-step"):
        audited(attacks="steps", checks=("one-stop",))
    with pytest.raises(OptionError, match="share"):
        audited(attacks="steps", checks=("one-step:shore=1",))


def test_a_guests_check_is_asked_too(registry: Registry, audited: Audited) -> None:
    """A check of a user's own stands beside the built-in ones, for its domain."""

    @dataclass(frozen=True)
    class Grumpy(AuditCheck):
        """Objects to everything."""

        question = "is anything ever good?"

        def judge(self, case: Case) -> Answer:
            return Answer("flag", f"a budget of {case.budget:g}", "give up", severity="invalid")

    registry.check("linear/grumpy", Grumpy)
    found = audited(attacks="steps")
    assert [e.severity for e in found.entries if e.check == "grumpy"] == ["invalid"]


def test_something_else_registered_as_a_check_is_refused(registry: Registry, audited: Audited) -> None:
    """A class that is no AuditCheck is named."""
    registry.check("linear/nonsense", Claims)
    with pytest.raises(UsageError, match="nonsense"):
        audited(attacks="steps")


def test_a_run_without_a_finished_attack_cannot_be_audited(audited: Audited) -> None:
    """The clean row alone gives nothing to doubt."""
    with pytest.raises(StoreError, match="no finished attack"):
        audited(attacks="none")


def test_same_seed_same_audit(audited: Audited) -> None:
    """Two audits of the same run say the same, word for word."""
    fields: dict[str, Any] = {"attacks": ("steps", "random-search"), "defenses": ("none", QUANTISED)}
    first, second = audited(**fields), audited(**fields)
    assert first.entries == second.entries
