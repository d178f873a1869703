"""What an attack searches on: its own imitation of the victim (black box), or the victim itself (white box)."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch, ranks
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.errors import UsageError
from robeval.plugins.contracts import Attack
from robeval.plugins.threat import ThreatModel
from robeval.plugins.views import View
from robeval_attacks.ranking.surrogate import Imitate, Imitated

TOP = 10


@dataclass(frozen=True)
class Searching(Attack[RankingBatch]):
    """Options and grant of every attack that searches on a ranker.

    As declared the victim shows ranked lists only, and the search runs on an imitation of it; with `surrogate=victim`
    the grant is white-box.
    """

    surrogate: Annotated[
        Literal["imitation", "victim"],
        Field(
            description="search on an imitation (black box: ranked lists only) or on the victim (white box)"
        ),
    ] = "imitation"
    queries: Annotated[
        int, Field(ge=0, description="ranked lists that the victim is asked for, to imitate it")
    ] = Imitate.lists
    imitation_steps: Annotated[int, Field(ge=1, description="training steps on these lists")] = Imitate.steps
    tries: Annotated[
        int, Field(ge=1, description="texts per target that the victim is asked to rank; the best one counts")
    ] = 1

    @property
    def grant(self) -> ThreatModel:
        """`threat`, or white-box access to the victim."""
        return self.threat if self.surrogate == "imitation" else replace(self.threat, access="white-box")

    @property
    def transfers_from(self) -> str | None:
        """Nobody: an imitation is the attack's own."""
        return None

    @property
    def preparation(self) -> Imitate | None:
        """The imitation, shared by all attacks that ask for as many lists and train as long."""
        return Imitate(self.queries, self.imitation_steps) if self.surrogate == "imitation" else None

    def ranker(self, view: View[RankingBatch]) -> NeuralRanker:
        """What to search on. Raises UsageError when that is a victim without word vectors."""
        if self.surrogate == "imitation":
            assert isinstance(view.prepared, Imitated)
            return view.prepared.ranker
        victim = view.module
        if not isinstance(victim, NeuralRanker):
            raise UsageError(
                f"{type(victim).__name__} has no word vectors, so {type(self).__name__} cannot search on it; "
                "use surrogate=imitation, or a neural victim (cross-encoder, bi-encoder)"
            )
        return victim

    def measured(
        self, view: View[RankingBatch], ranker: NeuralRanker, batch: RankingBatch, made: RankingBatch
    ) -> RankingBatch:
        """`made`; how well it does on the imitation is kept beside how well it does on the victim.

        Measures ``top10 on the imitation`` and ``boost on the imitation``; nothing where the search was on the victim.
        """
        if self.surrogate == "imitation":
            with torch.no_grad():
                clean, now = ranks(ranker(batch)), ranks(ranker(made))
            view.measure("top10 on the imitation", batch, (now <= TOP).double())
            view.measure("boost on the imitation", batch, clean - now)
        return made

    def watched(self, view: View[Any], vectors: Tensor, rows: RankingBatch) -> Tensor:
        """Vectors that a gradient is taken by; counted when it is the victim's."""
        return view.watch(vectors, rows) if self.surrogate == "victim" else vectors
