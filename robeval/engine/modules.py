"""A cell under `Trainer.test`: each batch is attacked, checked, scored and kept before the next one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import partial
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from robeval.arrays import Batch, is_finite, per_example
from robeval.engine.attack_call import call_attack
from robeval.engine.budget import check_budget, must_be_measured
from robeval.engine.columns import changed_tensors, column_of, filled, texts_of
from robeval.engine.memory import Portions
from robeval.engine.pace import bare_seconds
from robeval.engine.slices import can_be_sliced, sliced
from robeval.engine.stage import Stage
from robeval.engine.victim_weights import restore_weights, weights_of
from robeval.errors import PluginError
from robeval.plugins.contracts import Attack, Certifies, Domain, Trial
from robeval.plugins.views import ASKING, View
from robeval.results.store import MEASURED, Rows

ASKED_AGAIN = 16
"""Examples of a cell's first chunk, to learn whether the victim's answer stays the same."""


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
    """Some clean examples to their outcomes; the first of a cell carry the preparation's cost."""
    domain = stage.domain
    # The examples are shared by all cells: an attack gets a copy, and the weights come back as they were.
    original = clean
    given = clean.replace(**{name: value.clone() for name, value in clean.tensors().items()})
    before = [(victim, weights_of(victim)) for victim in (stage.judged, stage.attacked)]
    try:
        adversarial, view, took = call_attack(stage, attack, given, passes)
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
    columns = {name: column_of(value) for name, value in scores.items()}
    headline = domain.metrics[0].column
    columns[f"clean.{headline}"] = column_of(clean_scores[headline])
    _compare_headline(observed, columns[headline], columns[f"clean.{headline}"])
    columns["success"] = np.where(invalid.numpy(), 0.0, columns["success"])
    columns |= {f"spent.{name}": column_of(value) for name, value in spent.items()}
    columns |= _queries_column(view, stage)
    columns |= {f"{MEASURED}{name}": column_of(value) for name, value in view.measures.items()}
    return Rows(
        texts_of(domain, original, invalid, view), columns, changed_tensors(original, adversarial), observed
    )


def certified_rows(stage: Stage, clean: Batch) -> Rows:
    """One chunk of a certificate: the worst value that any input within the radius can reach."""
    if not isinstance(stage.judged, Certifies):
        raise PluginError(
            f"{type(stage.judged).__name__} declares certifies = True but has no certify method"
        )
    started = time.perf_counter()
    with torch.no_grad():
        bounds = stage.judged.certify(clean)
    columns = {name: column_of(value) for name, value in bounds.items()}
    observed = {"seconds": time.perf_counter() - started}
    nothing = torch.zeros(len(clean), dtype=torch.bool)
    return Rows(texts_of(stage.domain, clean, nothing, None), columns, {}, observed)


def _clean_answer(
    stage: Stage, is_first: bool, clean: Batch, observed: dict[str, float]
) -> tuple[Any, Mapping[str, Tensor]]:
    known = stage.clean_answers.of_all
    if clean.ids not in known:
        output = _ask(stage.judged, clean)
        scores = _scores(stage.domain, Trial(stage.judged, clean, clean, output, output))
        known[clean.ids] = (output, scores)
    output, scores = known[clean.ids]
    answer = stage.domain.answer(output)
    observed["clean_nonfinite"] = float((~is_finite({"answer": answer}, len(clean))).sum())
    if is_first:
        _ask_again(stage, clean, observed)
    return output, scores


def _ask_again(stage: Stage, clean: Batch, observed: dict[str, float]) -> None:
    """Do a few examples get the answer that they got in the first cell with this victim?

    Always the same few together, as an answer among others differs in its last digits.
    """
    few, known = clean.select(slice(0, ASKED_AGAIN)), stage.clean_answers.of_few
    if few.ids not in known:
        known[few.ids] = stage.domain.answer(_ask(stage.judged, few))
    again, before = stage.domain.answer(_ask(stage.judged, few)), known[few.ids]
    close = torch.isclose(per_example(again), per_example(before), rtol=1e-4, atol=1e-5, equal_nan=True)
    observed["unrepeatable"] = float((~close.all(dim=1)).sum())
    observed["repeated"] = float(len(few))


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
        most = 1 if name in ("success", domain.metrics[0].column) else 2
        if not 1 <= value.dim() <= most or len(value) != len(trial.clean):
            raise PluginError(
                f"domain '{domain.name}' must score one value per example, or one row where `settle` takes it: "
                f"'{name}' has shape {tuple(value.shape)} for {len(trial.clean)} examples"
            )
    return scores


def _compare_headline(observed: dict[str, float], attacked: np.ndarray, clean: np.ndarray) -> None:
    both = np.isfinite(attacked) & np.isfinite(clean)
    observed["headline_n"] = float(both.sum())
    observed["headline_clean"] = float(clean[both].sum())
    observed["headline_attacked"] = float(attacked[both].sum())


def _queries_column(view: View[Any], stage: Stage) -> dict[str, np.ndarray]:
    if stage.transfers or stage.threat.access not in ASKING:
        return {}
    return {"spent.queries": view.queries.double().numpy()}


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
