"""A cell under `Trainer.test`: each batch is attacked, checked, scored and kept before the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from robeval.arrays import Batch, is_finite, per_example
from robeval.engine.budget import check_budget, must_be_measured
from robeval.engine.memory import Portions
from robeval.engine.pace import Stopwatch, Took, bare_seconds
from robeval.engine.slices import can_be_sliced, sliced
from robeval.errors import AccessError, PluginError, QueryBudgetSpent, UsageError
from robeval.plugins.contracts import Attack, Certifies, Domain, Trial
from robeval.plugins.threat import ThreatModel
from robeval.plugins.views import View, restore_weights, under_attack, weights_of
from robeval.results.store import MEASURED, Rows
from robeval.seeding import Seed


@dataclass
class Stage:
    """Who meets whom in a cell."""

    domain: Domain[Any]
    attack: Attack[Any] | None
    """None for a certificate."""
    attacked: nn.Module
    """What the attack sees: the defended victim, the undefended one (oblivious), or a surrogate."""
    judged: nn.Module
    threat: ThreatModel
    budget: float
    seed: Seed
    transfers: bool = False
    draws: int = 1
    """Over how many draws of a random victim a white-box attacker averages."""
    prepared: Prepared | None = None
    original: Callable[[], nn.Module] | None = None
    """The victim before it was defended, for attacks that compare the two; made when first asked for."""
    pace: dict[str, float] = field(default_factory=dict)
    """Seconds a row of a bare pass, measured once."""
    clean_answers: dict[tuple[str, ...], tuple[Any, Mapping[str, Tensor]]] = field(default_factory=dict)
    """Clean outputs and scores by the examples asked together, shared by all cells with the same judged victim."""


@dataclass(frozen=True)
class Prepared:
    """What an attack's preparation learnt, and what that cost in all."""

    result: Any
    queries: int
    seconds: float


class EvaluationModule(pl.LightningModule):
    """Runs one cell; `keep(number, rows)` receives every finished chunk."""

    def __init__(
        self,
        stage: Stage,
        keep: Callable[[int, Rows], None],
        passes: Callable[[int], None],
        portions: Portions,
    ) -> None:
        super().__init__()
        self.judged = stage.judged
        self.attacked = stage.attacked
        self.stage = stage
        self.keep = keep
        self.passes = passes
        self.portions = portions

    def test_step(self, numbered: tuple[int, Batch], index: int) -> None:
        """Attack, check, score and keep one chunk of examples."""
        number, clean = numbered

        def rows_of(portion: Batch, offset: int) -> Rows:
            if self.stage.attack is None:
                return certified_rows(self.stage, portion)
            is_first = number == 0 and offset == 0
            return attacked_rows(self.stage, self.stage.attack, is_first, portion, self.passes)

        victims = (self.stage.judged, self.stage.attacked)
        narrow = partial(sliced, victims) if can_be_sliced(victims) else None
        parts = list(self.portions.work(clean, rows_of, self.stage.clean_answers.clear, narrow))
        self.keep(number, Rows.join(filled(parts, clean)))

    def configure_optimizers(self) -> None:
        """Nothing is optimised."""


def attacked_rows(
    stage: Stage, attack: Attack[Any], is_first: bool, clean: Batch, passes: Callable[[int], None]
) -> Rows:
    """Some clean examples to their outcomes; the first of a cell are asked twice, and carry the preparation's cost."""
    domain = stage.domain
    # The examples are shared by all cells: an attack gets a copy, and the weights come back as they were.
    original = clean
    given = clean.replace(**{name: value.clone() for name, value in clean.tensors().items()})
    before = [(victim, weights_of(victim)) for victim in (stage.judged, stage.attacked)]
    try:
        adversarial, view, took = _attack(stage, attack, given, passes)
    finally:
        # Also when the attack failed: the next cell judges the same victim.
        moved = [restore_weights(victim, saved) for victim, saved in before]
    observed = view.observations() if not stage.transfers else {**view.observations(), "queries": 0.0}
    observed["seconds"] = took.seconds
    bare = bare_seconds(stage.attacked, domain, view, original, stage.pace)
    # At the pace that the machine had during the attack: what else runs on it makes no attack look slower.
    observed["bare_seconds"] = bare * took.stretch
    if is_first and stage.prepared is not None:
        observed["prepared_queries"] = float(stage.prepared.queries)
        observed["prepared_seconds"] = stage.prepared.seconds
    observed["input_changed"] = 0.0 if given.identical(original) else float(len(original))
    observed["weights_changed"] = float(any(moved))
    observed["in_training_mode"] = float(any(module.training for module in stage.judged.modules()))

    spent, over, malformed = check_budget(domain, stage.threat, stage.budget, original, adversarial)
    observed["budget_unmeasured"] = float(must_be_measured(attack, stage.threat, spent))
    invalid = over | malformed
    observed |= {"over_budget": float((over & ~malformed).sum()), "malformed": float(malformed.sum())}
    observed["invalid"] = float(invalid.sum())
    counted = _rows_where(invalid, original, adversarial) if bool(invalid.any()) else adversarial

    clean_output, clean_scores = _clean_answer(stage, is_first, original, observed)
    changed = counted.changed(original)
    untouched = not bool(changed.any())
    output = clean_output if untouched else _ask_changed(stage.judged, counted, changed, clean_output)
    observed["attacked_nonfinite"] = float(
        (~is_finite({"answer": domain.answer(output)}, len(original))).sum()
    )
    trial = Trial(stage.judged, original, counted, clean_output, output)
    scores = clean_scores if untouched else _scores(domain, trial)
    for problem, where in domain.problems(original).items():
        observed[f"problem:{problem}"] = float(where.sum())
    columns = {name: _column(value) for name, value in scores.items()}
    headline = domain.metrics[0].column
    columns[f"clean.{headline}"] = _column(clean_scores[headline])
    _compare_headline(observed, columns[headline], columns[f"clean.{headline}"])
    columns["success"] = np.where(invalid.numpy(), 0.0, columns["success"])
    columns |= {f"spent.{name}": _column(value) for name, value in spent.items()}
    columns |= _queries_column(view, stage)
    columns |= {f"{MEASURED}{name}": _column(value) for name, value in view.measures.items()}
    return Rows(_texts(domain, original, invalid, view), columns, _changed(original, adversarial), observed)


def certified_rows(stage: Stage, clean: Batch) -> Rows:
    """One chunk of a certificate: the worst value that any input within the radius can reach."""
    if not isinstance(stage.judged, Certifies):
        raise PluginError(
            f"{type(stage.judged).__name__} declares certifies = True but has no certify method"
        )
    started = time.perf_counter()
    with torch.no_grad():
        bounds = stage.judged.certify(clean)
    columns = {name: _column(value) for name, value in bounds.items()}
    observed = {"seconds": time.perf_counter() - started}
    nothing = torch.zeros(len(clean), dtype=torch.bool)
    return Rows(_texts(stage.domain, clean, nothing, None), columns, {}, observed)


def _attack(
    stage: Stage, attack: Attack[Any], clean: Batch, passes: Callable[[int], None]
) -> tuple[Batch, View[Any], Took]:
    prepared = stage.prepared.result if stage.prepared else None
    view: View[Any] = View(
        stage.attacked,
        stage.domain,
        stage.threat,
        clean.ids,
        passes,
        draws=stage.draws,
        prepared=prepared,
        original=partial(_beside, stage.original, clean.device) if stage.original else None,
    )
    draw = stage.seed.draws(clean.ids, clean.device)
    watch = Stopwatch(clean.device)
    with under_attack(stage.attacked):
        try:
            adversarial = attack.perturb(view, clean, stage.budget, draw)
        except QueryBudgetSpent:
            adversarial = view.submitted if view.submitted is not None else clean
        except UsageError as error:
            raise PluginError(f"{type(attack).__name__}: {error}") from error
        except RuntimeError as error:
            if stage.threat.access != "white-box" and "does not require grad" in str(error):
                raise AccessError(_without_gradient(attack, stage.threat)) from error
            raise
        finally:
            view.close()
    took = watch.stop()
    if type(adversarial) is not type(clean):
        raise PluginError(
            f"{type(attack).__name__}.perturb must return a {type(clean).__name__}, "
            f"not {type(adversarial).__name__}"
        )
    if adversarial.ids != clean.ids:
        raise PluginError(
            f"{type(attack).__name__}.perturb must return the examples it was given, in their order: "
            f"{len(clean)} went in, {len(adversarial)} came back"
        )
    for name, value in clean.tensors().items():
        other = getattr(adversarial, name)
        if not isinstance(other, Tensor) or not _is_alike(other, value):
            raise PluginError(
                f"{type(attack).__name__}.perturb changed '{name}': expected {_looks(value)}, "
                f"got {_looks(other) if isinstance(other, Tensor) else type(other).__name__}"
            )
    mine = clean.tensors()
    detached = {name: value.detach().to(mine[name].dtype) for name, value in adversarial.tensors().items()}
    return adversarial.replace(**detached), view, took


def _is_alike(other: Tensor, value: Tensor) -> bool:
    """Same shape, device and type; arithmetic in single precision may come back to a run in half."""
    halved = value.dtype in (torch.bfloat16, torch.float16) and other.is_floating_point()
    is_typed = other.dtype == value.dtype or halved
    return other.shape == value.shape and other.device == value.device and is_typed


def _looks(value: Tensor) -> str:
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')} on {value.device}"


def _without_gradient(attack: Attack[Any], threat: ThreatModel) -> str:
    return (
        f"{type(attack).__name__} wants a gradient, but its threat model grants access '{threat.access}', "
        "whose answers carry none. Declare ThreatModel(access='white-box') if the attacker has the weights."
    )


def _beside(original: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    return original().to(device)


def _clean_answer(
    stage: Stage, is_first: bool, clean: Batch, observed: dict[str, float]
) -> tuple[Any, Mapping[str, Tensor]]:
    if clean.ids not in stage.clean_answers:
        output = _ask(stage.judged, clean)
        scores = _scores(stage.domain, Trial(stage.judged, clean, clean, output, output))
        stage.clean_answers[clean.ids] = (output, scores)
    output, scores = stage.clean_answers[clean.ids]
    answer = stage.domain.answer(output)
    observed["clean_nonfinite"] = float((~is_finite({"answer": answer}, len(clean))).sum())
    if is_first:
        again = stage.domain.answer(_ask(stage.judged, clean))
        close = torch.isclose(per_example(again), per_example(answer), rtol=1e-4, atol=1e-5, equal_nan=True)
        observed["unrepeatable"] = float((~close.all(dim=1)).sum())
        observed["repeated"] = float(len(clean))
    return output, scores


def _ask(victim: nn.Module, batch: Batch) -> Any:
    with torch.no_grad():
        return victim(batch)


def _ask_changed(victim: nn.Module, counted: Batch, changed: Tensor, clean_output: Any) -> Any:
    """The victim's answers: the clean ones for rows that are as they were, new ones for the others."""
    known, spec = tree_flatten(clean_output)
    by_row = all(isinstance(leaf, Tensor) and leaf.dim() and len(leaf) == len(counted) for leaf in known)
    if bool(changed.all()) or not by_row:
        return _ask(victim, counted)
    found, other = tree_flatten(_ask(victim, counted.select(changed)))
    # Answers as wide as their longest row do not fit together: then everybody is asked.
    if other != spec or any(new.shape[1:] != old.shape[1:] for old, new in zip(known, found, strict=True)):
        return _ask(victim, counted)
    merged = [old.index_put((changed.to(old.device),), new) for old, new in zip(known, found, strict=True)]
    return tree_unflatten(merged, spec)


def _scores(domain: Domain[Any], trial: Trial[Any]) -> Mapping[str, Tensor]:
    with torch.no_grad():
        scores = domain.score(trial)
    wanted = {"success"} | {metric.column for metric in domain.metrics}
    missing = sorted(wanted - set(scores))
    if missing:
        raise PluginError(f"domain '{domain.name}' scored no {', '.join(missing)}")
    for name, value in scores.items():
        if value.shape != (len(trial.clean),):
            raise PluginError(
                f"domain '{domain.name}' must score one value per example: "
                f"'{name}' has shape {tuple(value.shape)} for {len(trial.clean)} examples"
            )
    return scores


def _compare_headline(observed: dict[str, float], attacked: np.ndarray, clean: np.ndarray) -> None:
    both = np.isfinite(attacked) & np.isfinite(clean)
    observed["headline_n"] = float(both.sum())
    observed["headline_clean"] = float(clean[both].sum())
    observed["headline_attacked"] = float(attacked[both].sum())


def _queries_column(view: View[Any], stage: Stage) -> dict[str, np.ndarray]:
    if stage.transfers or not bool(view.queries.any()):
        return {}
    return {"spent.queries": view.queries.double().numpy()}


def _texts(
    domain: Domain[Any], clean: Batch, invalid: Tensor, view: View[Any] | None
) -> dict[str, list[str]]:
    notes = [""] * len(clean)
    for status, where in (view.notes if view else {}).items():
        for place in where.nonzero().flatten().tolist():
            notes[place] = f"{notes[place]} {status}".strip()
    return {
        "example": list(clean.ids),
        "cluster": list(domain.clusters(clean)),
        "group": list(domain.groups(clean)),
        "status": ["invalid" if bad else "ok" for bad in invalid.tolist()],
        "note": notes,
    }


def _rows_where(where: Tensor, by: Batch, batch: Batch) -> Batch:
    """`batch` with some of its examples replaced by those of `by`."""
    changes: dict[str, Any] = {}
    for name, value in batch.tensors().items():
        mask = where.to(value.device).view(-1, *([1] * (value.dim() - 1)))
        changes[name] = torch.where(mask, by.tensors()[name], value)
    chosen = where.tolist()
    for entry in fields(batch):
        value, other = getattr(batch, entry.name), getattr(by, entry.name)
        if isinstance(value, tuple):
            changes[entry.name] = tuple(
                b if bad else a for a, b, bad in zip(value, other, chosen, strict=True)
            )
    return batch.replace(**changes)


def _changed(clean: Batch, adversarial: Batch) -> dict[str, np.ndarray]:
    """The adversarial tensors that differ from the clean ones; the rest can be read from the dataset."""
    mine = clean.tensors()
    return {
        name: _array(value)
        for name, value in adversarial.tensors().items()
        if not torch.equal(value.nan_to_num(), mine[name].nan_to_num())
    }


def filled(parts: Sequence[Rows], examples: Batch) -> list[Rows]:
    """The parts with the same adversarial tensors in each: where a part changed nothing, the clean ones."""
    names = sorted({name for rows in parts for name in rows.adversarial})
    clean = {name: examples.tensors()[name] for name in names}
    found, start = [], 0
    for rows in parts:
        here = slice(start, start + len(rows))
        usual = {name: _array(clean[name][here]) for name in names if name not in rows.adversarial}
        found.append(replace(rows, adversarial={**rows.adversarial, **usual}))
        start += len(rows)
    return found


def _array(value: Tensor) -> np.ndarray:
    array: np.ndarray = (value.float() if value.dtype == torch.bfloat16 else value).cpu().numpy()
    return array


def _column(value: Tensor) -> np.ndarray:
    column: np.ndarray = value.detach().double().cpu().numpy()
    return column
