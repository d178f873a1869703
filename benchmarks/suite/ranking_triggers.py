"""Ranking triggers, batched, against the same method written as it is published.

Both ways use the same ranker (untrained), language model and next-sentence model (trained), the same beams,
candidates, steps and trigger length; one thread. The unit is one trigger.
"""

import torch

from benchmarks.arithmetic import middle, ratio
from benchmarks.frame import Claim, Measured
from benchmarks.plain.triggers import BEAMS, CANDIDATES, GRADIENT_STEPS, LENGTH, Models, models, one_by_one
from benchmarks.turns import in_turns
from robeval.domains.ranking.batch import RankingBatch, ranked_lists
from robeval.domains.ranking.domain import RankingDomain
from robeval.plugins.freezing import under_attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.ranking.anchored import anchors_of
from robeval_attacks.ranking.pat import PAT
from robeval_datasets.ranking.synthetic import Synthetic


def batched(known: Models, batch: RankingBatch) -> RankingBatch:
    """Our attack through its public door."""
    attack = PAT(surrogate="victim", beams=BEAMS, candidates=CANDIDATES, gradient_steps=GRADIENT_STEPS)
    view: View[RankingBatch] = View(known.ranker, RankingDomain(), attack.grant, batch.ids)
    with under_attack(known.ranker):
        return attack.perturb(view, batch, float(LENGTH), Seed(0).draws(batch.ids))


def measure(quick: bool) -> Measured:
    """Two targets one by one against all of them at once, in turns."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    targets, theirs, rounds = (4, 1, 1) if quick else (32, 2, 3)
    batch = Synthetic().load("test").select(slice(0, targets))
    known = models(batch)
    with torch.no_grad():
        anchors = anchors_of(batch, ranked_lists(known.ranker(batch)).order, 3)
    times = in_turns(
        {
            "one by one": lambda: one_by_one(known, batch.select(slice(0, theirs)), anchors[:theirs]),
            "batched": lambda: batched(known, batch),
        },
        rounds,
        warm_up=not quick,
    )
    plain = [1e3 * t / theirs for t in times["one by one"]]
    ours = [1e3 * t / targets for t in times["batched"]]
    cheaper = ratio(plain, ours)
    per_minute = [middle([60_000 / t for t in side]) for side in (plain, ours)]
    return Measured(
        columns=("", "one by one", "batched", "times less"),
        rows=(
            (f"PAT, {BEAMS} beams: CPU a trigger", middle(plain, "ms"), middle(ours, "ms"), cheaper),
            ("triggers per CPU-minute", *per_minute, ""),
        ),
        claims=(Claim(what="ranking triggers: batched against one by one", figure=cheaper, at_least=10.0),),
    )
