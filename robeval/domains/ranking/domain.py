"""The ranking domain: what is measured of a re-ranked list, what an attack may spend, what a person sees."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robeval.arrays import Batch
from robeval.domains.ranking import budget, metrics, naturalness
from robeval.domains.ranking.batch import RankedLists, Ranking, RankingBatch, ranked_lists
from robeval.domains.ranking.ranker import Ranker
from robeval.errors import AccessError
from robeval.plugins.contracts import Domain, Metric, Trial
from robeval.plugins.defaults import Defaults, Probes, Profile

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def _share(name: str, direction: Literal["higher", "lower"], meaning: str) -> Metric:
    return Metric(name, "", direction, meaning, kind="proportion")


_PROMOTION = (
    _share("top10", "lower", "target passages in the first 10"),
    _share("top50", "lower", "target passages in the first 50"),
    Metric("boost", "ranks", "lower", "ranks that the target gained on its clean rank (mean)", decimals=1),
    Metric("rank", "", "higher", "the target's rank", decimals=1),
    Metric(
        "success",
        "",
        "lower",
        "attacks that improve the rank; targets at rank 1 are left out",
        kind="proportion",
        value="rose",
    ),
    _share("demoted", "higher", "attacks that only worsen the rank"),
)

_QUALITY = (
    Metric("ndcg10", "", "higher", "nDCG@10 of the clean list (gain = grade; ir-measures)", decimals=3),
    Metric(
        "mrr10", "", "higher", "reciprocal rank of the first relevant passage in the clean top 10", decimals=3
    ),
    Metric(
        "attacked_ndcg10", "", "higher", "nDCG@10 of the list with the attacked passage in it", decimals=3
    ),
)

_NATURALNESS = (
    Metric(
        "perplexity",
        "",
        "higher",
        "perplexity of the whole passage (geometric mean is not taken)",
        decimals=0,
    ),
    Metric(
        "trigger_perplexity", "", "higher", "perplexity of the inserted words, in their context", decimals=0
    ),
    Metric("query_overlap", "", "higher", "share of inserted words that are words of the query"),
    Metric("inserted_share", "", "higher", "inserted words as a share of the passage's words"),
)

_DETECTION = (
    _share("detected", "higher", "target passages that the filter throws out at its operating point"),
    _share("false_alarm", "lower", "clean passages of the list that the filter throws out"),
    Metric(
        "auc", "", "higher", "chance that the target looks more suspicious than a clean passage of its list"
    ),
)


class RankingDomain(Domain[RankingBatch]):
    """Which passages are shown first for a query?

    An example is one target passage of one query. Ties count against the target; a passage that a filter throws out
    ranks behind the whole list.
    """

    name: ClassVar[str] = "ranking"
    summary: ClassVar[str] = "Which passages are shown first for a query?"
    batch: ClassVar[type[Batch]] = RankingBatch
    metrics: ClassVar[tuple[Metric, ...]] = (*_PROMOTION, *_QUALITY, *_NATURALNESS, *_DETECTION)
    defaults: ClassVar[Defaults] = Defaults(
        dataset="synthetic",
        victim="cross-encoder",
        attacks=("none", "random-trigger", "query-stuffing", "pat:beams=3,candidates=16", "hotflip"),
        defenses=(
            "none",
            "perplexity-filter",
            "spamicity-filter",
            "augmentation",
            "random-masking:samples=3",
        ),
        max_examples=32,
        small=("synthetic", "cross-encoder:steps=20"),
        profiles={
            "fast": Profile(
                "it checks the plumbing; a victim of so few steps ranks badly, and so does what imitates it",
                victim="cross-encoder:steps=60",
                attacks=("none", "random-trigger", "query-stuffing", "hotflip:queries=32,imitation_steps=20"),
                defenses=("none", "spamicity-filter"),
                max_examples=20,
            )
        },
    )
    probes: ClassVar[Probes] = Probes(
        random="random-trigger",
        black_box="hotflip:tries=3",
        strong="pat-plus:surrogate=victim",
        weak="hotflip:surrogate=victim,sweeps=1,candidates=1",
    )

    def __init__(self, reader: Ranker | None = None) -> None:
        """`reader` is the victim whose tokenizer counts tokens; the corpus's own vocabulary does without one."""
        self.reader = reader

    def against(self, victim: nn.Module) -> "RankingDomain":
        """The same domain, counting tokens as `victim` reads them."""
        return RankingDomain(victim if isinstance(victim, Ranker) else None)

    def score(self, trial: Trial[RankingBatch]) -> Mapping[str, Tensor]:
        """One value per example for every column that a metric names: [batch] each."""
        clean = metrics.quality(trial.clean, trial.clean_output)
        same = trial.output is trial.clean_output
        attacked = clean if same else metrics.quality(trial.clean, trial.output)
        return {
            **metrics.promotion(trial.clean_output, trial.output),
            "ndcg10": clean[metrics.NDCG],
            "mrr10": clean[metrics.RECIPROCAL_RANK],
            "attacked_ndcg10": attacked[metrics.NDCG],
            **naturalness.measured(trial.clean, trial.adversarial),
            **metrics.detection(trial.clean_output, trial.output),
        }

    def spent(self, clean: RankingBatch, adversarial: RankingBatch) -> Mapping[str, Tensor]:
        """``tokens``, ``words``, ``characters``, and the constraints; see `budget.spent`."""
        tokenizer = self.reader.tokenizer(clean.corpus) if self.reader is not None else None
        return budget.spent(clean, adversarial, tokenizer)

    def problems(self, batch: RankingBatch) -> Mapping[str, Tensor]:
        """Texts that are no texts, and targets that are not in their lists."""
        return budget.problems(batch)

    def answer(self, output: Ranking) -> Float[Tensor, "batch features"]:
        """Scores and removals in one row per example."""
        return torch.cat([output.scores, output.removed.to(output.scores.dtype)], dim=1)

    def reveal(self, output: Ranking, access: str) -> Ranking | RankedLists:
        """Scores and removals for ``score``; the ordered list of passage numbers for ``rank``.

        Raises AccessError for ``decision``.
        """
        if access == "score":
            return output._replace(suspicion=None)
        if access == "rank":
            return ranked_lists(output)
        raise AccessError(
            f"the ranking domain has no access '{access}'; declare 'white-box', 'score' or 'rank'"
        )

    def groups(self, batch: RankingBatch) -> Sequence[str]:
        """Where the first stage had the target."""
        return batch.zone

    def clusters(self, batch: RankingBatch) -> Sequence[str]:
        """The query: its targets share a list."""
        return [batch.corpus.query_ids[number] for number in batch.query.tolist()]

    def picture(self, trial: Trial[RankingBatch], title: str = "") -> "Figure":
        """The passage with what was inserted or replaced marked, before and after rank beside it."""
        from robeval.domains.ranking.picture import draw

        return draw(trial, title)
