"""What a domain promises."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from robeval.engine.budget import TOLERANCE
from robeval.errors import AccessError, RobevalError
from robeval.plugins.contracts import Trial
from robeval.plugins.specs import PluginSpec
from robeval.testing.conformance.bench import Bench
from robeval.testing.conformance.check import NotApplicable, check, expect


def clean_trial(bench: Bench) -> Trial[Any]:
    """The trial of an attack that changed nothing."""
    victim = bench.stage.judged.eval()
    with torch.no_grad():
        output = victim(bench.examples)
    return Trial(victim, bench.examples, bench.examples, output, output)


def _column(bench: Bench, what: str, name: str, value: Any) -> None:
    is_column = isinstance(value, Tensor) and value.shape == (len(bench.examples),)
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    expect(is_column, f"{what} '{name}' is {found}", f"Give one value per example: ({len(bench.examples)},)")


@check("domain")
def complete(bench: Bench) -> None:
    """Name, metrics and defaults are there; every default is registered; metrics have names of their own."""
    domain = bench.domain
    expect(domain.name == bench.name, f"its name is '{domain.name}'", f"Register it as '{domain.name}'")
    names = [metric.name for metric in domain.metrics]
    expect(bool(names), "it has no metrics", "The first metric is the headline")
    expect(len(set(names)) == len(names), f"two metrics share a name: {names}", "Rename one of them")
    kinds = {
        "dataset": (domain.defaults.dataset,),
        "victim": (domain.defaults.victim,),
        "attack": domain.defaults.attacks,
        "defense": domain.defaults.defenses,
    }
    for kind, specs in kinds.items():
        for text in specs:
            bench.registry.find(kind, PluginSpec.parse(text).name, bench.name)
    fields = set(domain.batch.__dataclass_fields__)
    unknown = [name for name in domain.continuous if name not in fields]
    expect(not unknown, f"continuous names {unknown}", f"Fields of the batch: {', '.join(sorted(fields))}")


@check("domain")
def nothing_spent(bench: Bench) -> None:
    """An unchanged example has spent nothing: `spent(clean, clean)` is 0 for budgets, at most 1 for constraints."""
    spent = bench.domain.spent(bench.examples, bench.examples)
    expect(bool(spent), "spent measures nothing", "Name at least one budget")
    constraints = _constraints(bench)
    for name, value in spent.items():
        _column(bench, "what spent gives for", name, value)
        limit = 1.0 if name in constraints else 0.0
        expect(
            bool((value <= limit * (1 + TOLERANCE)).all()),
            f"spent says {float(value.double().max()):g} for '{name}' though nothing was changed",
            "Measure the change, not the example: what the clean example breaks is not the attacker's doing",
        )


def _constraints(bench: Bench) -> set[str]:
    """The measures that attacks of the domain keep below 1 instead of sweeping them."""
    found: set[str] = set()
    for entry in bench.registry.of("attack", bench.name):
        with contextlib.suppress(RobevalError):
            found.update(entry.load().threat.constraints)
    return found


@check("domain")
def scored(bench: Bench) -> None:
    """`score` gives one value per example for every metric and for `success`, which is 0 without a change.

    Or a row of numbers each, of which `settle` makes one value.
    """
    scores = bench.domain.score(clean_trial(bench))
    wanted = {"success", *(metric.column for metric in bench.domain.metrics)}
    wanted |= {metric.per for metric in bench.domain.metrics if metric.per}
    missing = sorted(wanted - set(scores))
    expect(not missing, f"score gives no {', '.join(missing)}", "Every metric's column, and success")
    for name, value in scores.items():
        _column(bench, "the score", name, bench.domain.settle(name, value) if value.dim() == 2 else value)
    success = scores["success"]
    expect(
        bool((success == 0).all()), "an unchanged example counts as a success", "Compare with clean_output"
    )
    headline = scores[bench.domain.metrics[0].column]
    expect(bool(headline.isfinite().any()), "the headline applies to no example", "NaN means: does not apply")


@check("domain")
def examples_described(bench: Bench) -> None:
    """`problems`, `groups` and `clusters` say one thing per example."""
    for name, value in bench.domain.problems(bench.examples).items():
        _column(bench, "the problem", name, value)
        expect(value.dtype == torch.bool, f"the problem '{name}' is {value.dtype}", "Give a bool per example")
    for what in ("groups", "clusters"):
        found = getattr(bench.domain, what)(bench.examples)
        texts = len(found) == len(bench.examples) and all(isinstance(item, str) for item in found)
        expect(texts, f"{what} gives {list(found)!r:.80}", "Give one text per example")


@check("domain")
def answer_shaped(bench: Bench) -> None:
    """`answer` gives one floating tensor whose first axis is the examples."""
    trial = clean_trial(bench)
    answer = bench.domain.answer(trial.output)
    good = answer.is_floating_point() and answer.dim() >= 1 and len(answer) == len(bench.examples)
    expect(
        good,
        f"answer gives {tuple(answer.shape)} {answer.dtype} for {len(bench.examples)} examples",
        "Flatten all outputs into one float tensor [batch, ...]",
    )


@check("domain")
def access_cut(bench: Bench) -> None:
    """`reveal` gives something for scores, decisions and ranks, or refuses in words; never gradients."""
    output = clean_trial(bench).output
    granted = 0
    for access in ("score", "decision", "rank"):
        try:
            bench.domain.reveal(output, access)
        except AccessError as refusal:
            expect(
                access in str(refusal),
                f"the refusal of '{access}' does not name it",
                "Say what there is instead",
            )
        else:
            granted += 1
    expect(granted > 0, "no black-box access gives anything", "Reveal the output for 'score' at least")


@check("domain")
def picture_drawn(bench: Bench) -> None:
    """`picture` draws an example, or the domain says that it draws none yet."""
    try:
        figure = bench.domain.picture(clean_trial(bench), "title")
    except NotImplementedError as reason:
        raise NotApplicable(str(reason)) from reason
    expect(
        isinstance(figure, Figure), f"picture gives a {type(figure).__name__}", "Return a matplotlib Figure"
    )
