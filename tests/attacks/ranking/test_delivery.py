"""What becomes of a trigger on its way to the published text."""

from collections.abc import Mapping

import torch
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch, ranks
from robeval.domains.ranking.domain import RankingDomain
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.tokens import Tokenizer
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval_attacks.ranking.beams import Found
from robeval_attacks.ranking.delivery import deliver

THREAT = ThreatModel("rank", Budget("tokens", "tokens", 6.0), constraints=("insertion_only",))


def options(tokenizer: Tokenizer, batch: RankingBatch, *triggers: list[str]) -> Found:
    """The same triggers for every example, best first, as ids of their pieces."""
    rows = [[tokenizer.pieces.index(piece) for piece in trigger] for trigger in triggers]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows]).expand(len(batch), -1, -1)
    length = torch.tensor([len(row) for row in rows]).expand(len(batch), -1)
    score = -torch.arange(len(rows)).float().expand(len(batch), -1)
    return Found(ids, length, score, torch.zeros(0))


def delivered(
    ranker: NeuralRanker, batch: RankingBatch, *triggers: list[str], budget: float = 6.0, tries: int = 1
) -> tuple[list[str], View[RankingBatch]]:
    tokenizer = ranker.tokenizer(batch.corpus)
    view = View(ranker, RankingDomain(), THREAT, batch.ids)
    found = options(tokenizer, batch, *triggers)
    return deliver(view, batch, found, tokenizer, budget, "front", tries).texts(), view


def test_the_best_trigger_is_put_in_front(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """One blank stands between it and the passage."""
    texts, view = delivered(word_ranker, small_world, ["fox", "sea"], ["bread"])
    assert texts == [f"fox sea {text}" for text in small_world.texts()]
    assert int(view.queries.sum()) == 0


def test_what_reads_back_differently_is_not_delivered(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """The letters f, ##o, ##x would come back as the word fox: the next trigger is taken."""
    texts, _ = delivered(word_ranker, small_world, ["f", "##o", "##x"], ["bread"])
    assert texts == [f"bread {text}" for text in small_world.texts()]


def test_without_a_trigger_the_passage_stays(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """Nothing that survives: the text as it was, and a note that says so."""
    texts, view = delivered(word_ranker, small_world, ["f", "##o", "##x"], ["[MASK]"])
    assert texts == small_world.texts()
    assert view.notes["no_trigger"].all()


def test_what_costs_too_much_loses_its_last_words(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """Of three tokens the first two keep a budget of 2; a budget of half a token leaves nothing to deliver."""
    texts, _ = delivered(word_ranker, small_world, ["fox", "sea", "oven"], ["bread"], budget=2.0)
    assert texts == [f"fox sea {text}" for text in small_world.texts()]
    texts, view = delivered(word_ranker, small_world, ["fox", "sea"], ["bread"], budget=0.5)
    assert texts == small_world.texts()
    assert view.notes["no_trigger"].all()


def test_the_victims_tokenizer_decides_what_a_trigger_costs(
    small_world: RankingBatch, word_ranker: NeuralRanker
) -> None:
    """Where the domain counts every token as three, a budget of 6 pays for two words of three."""

    class Dear(RankingDomain):
        def spent(self, clean: RankingBatch, adversarial: RankingBatch) -> Mapping[str, Tensor]:
            plain = super().spent(clean, adversarial)
            return {**plain, "tokens": 3 * plain["tokens"]}

    tokenizer = word_ranker.tokenizer(small_world.corpus)
    view = View(word_ranker, Dear(), THREAT, small_world.ids)
    found = options(tokenizer, small_world, ["fox", "sea", "oven"])
    made = deliver(view, small_world, found, tokenizer, 6.0, "front", 1)
    assert made.texts() == [f"fox sea {text}" for text in small_world.texts()]


def test_the_victim_chooses_among_several_tries(small_world: RankingBatch, word_ranker: NeuralRanker) -> None:
    """With three tries each target gets the trigger that ranks best, one question for each try."""
    triggers = (["fox"], ["sea"], ["bread"])
    texts, view = delivered(word_ranker, small_world, *triggers, tries=3)
    assert view.queries.tolist() == [3] * 8
    with torch.no_grad():
        every = torch.stack(
            [
                ranks(word_ranker(small_world.with_texts([f"{t[0]} {text}" for text in small_world.texts()])))
                for t in triggers
            ],
            dim=1,
        )
        chosen = ranks(word_ranker(small_world.with_texts(texts)))
    assert chosen.equal(every.amin(dim=1))
    assert (every[:, 0] > chosen).any()
