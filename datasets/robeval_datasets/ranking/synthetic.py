"""Seeded queries and passages about an invented world, made on the spot."""

from typing import Annotated, ClassVar

from pydantic import Field

from robeval.seeding import Seed
from robeval_datasets.ranking.base import (
    DEPTH_HELP,
    PER_QUERY_HELP,
    ROOM_HELP,
    TARGETS_HELP,
    PassageDataset,
    Sampler,
)
from robeval_datasets.ranking.collection import Collection
from robeval_datasets.ranking.world import make_world

_TRAIN, _VAL = 600, 80


class Synthetic(PassageDataset):
    """1 536 passages and 768 queries about an invented world: 16 topics, 128 things, 6 properties, synonyms for each.

    Orders attacks and defenses as real data does; absolute success rates and perplexities do not transfer.

    Source: robeval's own generator.
    """

    caveat: ClassVar[str] = (
        "an invented world: attacks and defenses stand in the order that they have on real text; their success "
        "rates, perplexities and detection rates do not carry over"
    )

    def __init__(
        self,
        *,
        seed: Annotated[int, Field(ge=0, description="which world")] = 0,
        depth: Annotated[int, Field(ge=2, description=DEPTH_HELP)] = 100,
        targets: Annotated[Sampler, Field(description=TARGETS_HELP)] = "easy",
        per_query: Annotated[int, Field(ge=1, description=PER_QUERY_HELP)] = 5,
        room: Annotated[int, Field(ge=0, description=ROOM_HELP)] = 512,
    ) -> None:
        super().__init__()
        self.seed, self.depth, self.targets, self.per_query, self.room = seed, depth, targets, per_query, room

    def collection(self) -> Collection:
        """The world's texts; 600 queries to train on, 80 to calibrate on, 88 to attack."""
        seed = Seed(self.seed).child("ranking world")
        world = make_world(seed.child("texts").numpy())
        names = list(world.queries)
        order = seed.child("splits").numpy().permutation(len(names))
        splits = {
            names[number]: "train" if place < _TRAIN else "val" if place < _TRAIN + _VAL else "test"
            for place, number in enumerate(order.tolist())
        }
        return Collection(world.queries, world.passages, world.qrels, relevant_from=3, splits=splits)
