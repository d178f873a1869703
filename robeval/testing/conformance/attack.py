"""What an attack promises."""

from __future__ import annotations

import inspect
import re

import torch

from robeval.arrays import Batch
from robeval.engine.budget import check_budget
from robeval.engine.victim_weights import weights_of
from robeval.plugins.none import NoAttack
from robeval.seeding import Seed
from robeval.testing.conformance.bench import (
    Bench,
    clone,
    differing,
    double,
    fitting,
    global_randomness,
    told,
)
from robeval.testing.conformance.check import NotApplicable, check, expect


@check("attack")
def budget_kept(bench: Bench) -> None:
    """At no budget, half of it and all of it, what the domain measures stays within the grant, and is valid."""
    bench.needs("perturb")
    for share in (0.0, 0.5, 1.0):
        budget = share * bench.stage.budget
        adversarial, _ = bench.attacked(clone(bench.examples), budget=budget)
        spent, over, malformed = check_budget(
            bench.domain, bench.stage.threat, budget, bench.examples, adversarial
        )
        limit = bench.stage.threat.budget
        if not isinstance(bench.plugin, NoAttack):
            unknown = [n for n in (limit.name, *bench.stage.threat.constraints) if n not in spent]
            expect(
                not unknown,
                f"it limits '{unknown[0] if unknown else ''}', which the domain does not measure",
                f"The domain measures: {', '.join(spent)}",
            )
        expect(
            not bool(malformed.any()),
            f"{int(malformed.sum())} of {len(over)} adversarial examples are NaN or out of range",
            "Look at the domain's `problems`, and keep inputs in their range",
        )
        worst = max((float(spent[limit.name].max()) if limit.name in spent else 0.0), 0.0)
        expect(
            not bool(over.any()),
            f"{int(over.sum())} of {len(over)} examples exceed {limit.name} ≤ {budget:g} {limit.unit} "
            f"or a constraint (largest {limit.name}: {worst:g})",
            "Scale or project the change by the `budget` that perturb is given, not by the default",
        )


@check("attack")
def deterministic(bench: Bench) -> None:
    """The same seed gives the same result whatever the global generators hold, and those are left alone."""
    plugin = bench.plugin
    if hasattr(type(plugin), "perturb") and _acts(bench, "perturb"):
        results: list[Batch] = []
        for number in (1, 2):
            with global_randomness(number):
                before = torch.get_rng_state()
                results.append(bench.attacked(clone(bench.examples))[0])
                expect(
                    torch.equal(before, torch.get_rng_state()),
                    "it draws from torch's global generator",
                    "Draw from `draw` (draw.uniform, draw.normal, draw.integers) instead of torch.rand...",
                )
        changed = differing(*results)
        expect(
            not changed,
            f"two runs with one seed differ in {told(changed)}",
            "Draw every random number from `draw`, and iterate over nothing unordered (sets)",
        )
    if _acts(bench, "poison"):
        one, other = (
            plugin.poison(bench.training_data(), bench.stage.budget, Seed(0)).split("train") for _ in range(2)
        )
        expect(one.identical(other), "two poisonings with one seed differ", "Draw from the given `seed` only")


def _acts(bench: Bench, hook: str) -> bool:
    try:
        bench.needs(hook)
    except NotApplicable:
        return False
    return True


@check("attack")
def batch_independent(bench: Bench) -> None:
    """An example's result does not depend on its neighbours in the batch, nor on their order."""
    bench.needs("perturb")
    with bench.in_double():
        examples = double(bench.examples)

        def attacked(batch: Batch) -> Batch:
            return bench.attacked(clone(batch))[0]

        together = fitting(attacked, examples)
        backwards = attacked(examples.select(list(range(len(examples)))[::-1]))
        alone = type(examples).join([attacked(examples.select([n])) for n in range(len(examples))])
    for how, other in (
        ("backwards", backwards.select(list(range(len(examples)))[::-1])),
        ("alone", alone),
    ):
        changed = differing(together, other)
        expect(
            not changed,
            f"attacked {how}, {told(changed)} come out otherwise",
            "Take no mean, norm or maximum over the batch axis, sum losses (a mean weakens each slope by the batch "
            "size), and draw through `draw`, whose rows belong to the examples",
        )


@check("attack")
def access_honoured(bench: Bench) -> None:
    """It runs under the grant that it declares, spends no more queries, and leaves the victim as it was."""
    bench.needs("perturb")
    attacked, threat = bench.stage.attacked, bench.stage.threat
    before = weights_of(attacked)
    _, view = bench.attacked(clone(bench.examples))
    after = attacked.state_dict()
    changed = [n for n, value in before.items() if not torch.equal(value.nan_to_num(), after[n].nan_to_num())]
    expect(
        not changed,
        f"it changed the victim's '{changed[0] if changed else ''}'",
        "Work on copy.deepcopy(view.module)",
    )
    expect(
        not any(module.training for module in attacked.modules()),
        "it left the victim in training mode",
        "Do not call .train() on it",
    )
    most = int(view.queries.max())
    expect(
        threat.queries is None or most <= threat.queries,
        f"an example asked {most} times, granted are {threat.queries}",
        "Look at view.left(batch)",
    )
    private = re.findall(r"\bview\._\w+", _source(bench))
    expect(
        not private,
        f"it reaches into {private[0] if private else ''}",
        "Use view(batch), view.module, view.left and view.submit; what else there is belongs to the judge",
    )


def _source(bench: Bench) -> str:
    try:
        return inspect.getsource(bench.cls)
    except (OSError, TypeError):
        return ""


@check("attack")
def input_not_mutated(bench: Bench) -> None:
    """The clean examples that it was given are as before afterwards; so is the data that it poisons."""
    if _acts(bench, "poison"):
        data = bench.training_data()
        before = clone(data.split("train"))
        bench.plugin.poison(data, bench.stage.budget, Seed(0))
        expect(
            before.identical(data.split("train")),
            "poison wrote into the training data that it was given",
            "Return data.with_train(batch.replace(...))",
        )
        if not _acts(bench, "perturb"):
            return
    bench.needs("perturb")
    given = clone(bench.examples)
    bench.attacked(given)
    changed = differing(given, bench.examples)
    expect(
        not changed,
        f"it wrote into its input: {told(changed)}",
        "Start from batch.TENSOR.clone(), and return batch.replace(...)",
    )


@check("attack")
def device_and_dtype_kept(bench: Bench) -> None:
    """What comes back has the ids, shapes, types and device of what went in; on a GPU too, where there is one."""
    bench.needs("perturb")
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    for device in devices:
        for victim in (bench.stage.attacked, bench.stage.judged):
            victim.to(device)
        try:
            given = clone(bench.examples).to(device)
            found, _ = bench.attacked(given)
        finally:
            for victim in (bench.stage.attacked, bench.stage.judged):
                victim.cpu()
        expect(
            found.ids == given.ids,
            "it returned other examples, or in another order",
            "Return one result for every example that came in, with its id",
        )
        for name, value in given.tensors().items():
            other = getattr(found, name)
            same = (other.shape, other.dtype, other.device) == (value.shape, value.dtype, value.device)
            expect(
                same,
                f"'{name}' went in as {tuple(value.shape)} {value.dtype} on {value.device} and came back as "
                f"{tuple(other.shape)} {other.dtype} on {other.device}",
                "Make new tensors like the input: torch.zeros_like(x), x.new_tensor(...), draw.normal(...).to(x)",
            )
