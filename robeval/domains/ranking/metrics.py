"""Figures of a ranking: through ir-measures where they exist there."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from robeval.domains.ranking.batch import NOBODY, Ranking, RankingBatch, ordered, ranks

NDCG, RECIPROCAL_RANK = "nDCG@10", "RR@10"
"""The second with the corpus's own least relevant grade."""


def quality(batch: RankingBatch, ranking: Ranking) -> dict[str, Float[Tensor, " batch"]]:
    """``nDCG@10`` (gain = grade) and ``RR@10`` (grade `relevant_from` or more) of each list by its query's judgements.

    NaN for queries without judgements. Passages that were judged but never listed count in the ideal list.
    """
    import ir_measures

    corpus = batch.corpus
    order = ordered(ranking)[:, :10]
    best = ranking.passages.gather(1, order)
    gone = ranking.removed.gather(1, order)
    tops = [
        [number for number, out in zip(*row, strict=True) if number != NOBODY and not out]
        for row in zip(best.tolist(), gone.tolist(), strict=True)
    ]
    # A query stands in several examples, each with its own list, so the example is the library's query.
    qrels, run = {}, {}
    for name, query, top in zip(batch.ids, batch.query.tolist(), tops, strict=True):
        judged = corpus.qrels.get(corpus.query_ids[query])
        if judged:
            qrels[name] = dict(judged)
            run[name] = {corpus.passage_ids[number]: float(-place) for place, number in enumerate(top)}
    measures = {ir_measures.nDCG @ 10: NDCG, ir_measures.RR(rel=corpus.relevant_from) @ 10: RECIPROCAL_RANK}
    values = {name: dict.fromkeys(batch.ids, float("nan")) for name in measures.values()}
    if qrels:
        for found in ir_measures.iter_calc(list(measures), qrels, run):
            values[measures[found.measure]][found.query_id] = float(found.value)
    return {name: _column(by_id, batch.ids) for name, by_id in values.items()}


def _column(values: dict[str, float], ids: Sequence[str]) -> Tensor:
    return torch.tensor([values[name] for name in ids], dtype=torch.float64)


def promotion(before: Ranking, after: Ranking) -> dict[str, Float[Tensor, " batch"]]:
    """Where the target stands, and how far it rose; ``rose`` and ``demoted`` are NaN for a target at rank 1."""
    old, new = ranks(before).double(), ranks(after).double()
    could_rise = old > 1
    nothing = torch.full_like(old, torch.nan)
    return {
        "top10": (new <= 10).double(),
        "top50": (new <= 50).double(),
        "boost": old - new,
        "rank": new,
        "success": (new < old).double(),
        "rose": torch.where(could_rise, (new < old).double(), nothing),
        "demoted": torch.where(could_rise, (new > old).double(), nothing),
    }


def detection(before: Ranking, after: Ranking) -> dict[str, Float[Tensor, " batch"]]:
    """What a filter says of the target and of the clean passages beside it; NaN for victims without a detector.

    ``auc`` is the share of the list's other passages that look less suspicious than the target (ties count half);
    its mean over examples is the area under the ROC curve with negatives from the same lists.
    """
    place = torch.arange(after.scores.shape[1], device=after.scores.device)
    others = (after.passages != NOBODY) & (place != after.target.unsqueeze(1))
    nothing = torch.full((len(after.target),), torch.nan, dtype=torch.float64, device=after.scores.device)
    if after.suspicion is None:
        return {"detected": nothing, "false_alarm": nothing, "auc": nothing}
    own = after.suspicion.gather(1, after.target.unsqueeze(1))
    below = (after.suspicion < own).double() + 0.5 * (after.suspicion == own).double()
    count = others.sum(dim=1).clamp_min(1)
    return {
        "detected": after.removed.gather(1, after.target.unsqueeze(1)).squeeze(1).double(),
        "false_alarm": (before.removed & others).sum(dim=1).double() / count,
        "auc": (below * others).sum(dim=1) / count,
    }
