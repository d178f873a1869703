"""Objectives: sums of their parts, attacks inside that hurt and stay in their ball, training that helps."""

from copy import deepcopy

import pytest
import pytorch_lightning as pl
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.victims.base import ranknet
from robeval.domains.ranking.victims.bm25 import BM25
from robeval.errors import UsageError
from robeval.plugins.victim import RobustTraining
from robeval.seeding import Seed
from robeval_defenses.ranking.adversarial_training import AdversarialTraining, ShiftedTraining
from robeval_defenses.ranking.augmentation import Augmentation, TriggeredTraining
from robeval_defenses.ranking.certdr import CertDR
from robeval_defenses.ranking.piat import InvariantTraining, Piat, apart
from robeval_defenses.ranking.random_masking import RandomMasking
from robeval_defenses.ranking.training import in_ball, pairs, read, rivals
from robeval_defenses.ranking.triggers import KINDS, triggers

TRAINED = (Augmentation, AdversarialTraining, Piat, CertDR, RandomMasking)


@pytest.fixture
def train(zoo_data) -> RankingBatch:
    """The training examples: every query's own passage."""
    batch = zoo_data.split("train")
    assert isinstance(batch, RankingBatch)
    return batch


def trained(victim, defense, data, steps: int, rate: float = 0.01):
    """A copy of the victim after some steps, on its own loss or on the defense's objective."""
    victim = deepcopy(victim).train()
    batch = data.split("train")
    module = None if defense is None else defense.robustify(victim, data, Seed(0))
    optimizer = torch.optim.Adam(victim.parameters(), lr=rate)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for step in range(steps):
            if module is not None:
                module.seed = Seed(step)  # outside of a Trainer the step does not count itself
            optimizer.zero_grad()
            loss = victim.loss(batch) if module is None else module.objective(batch)
            loss.mean().backward()
            optimizer.step()
    return victim.eval()


@pytest.mark.parametrize("defense", TRAINED)
def test_lightning_trains_it(defense, small, zoo_data) -> None:
    """Trainer.fit runs the module as it is, from the clean victim, for its own steps, and moves the weights."""
    before = small.word_vectors.detach().clone()
    module = defense(steps=2).robustify(small.train(), zoo_data, Seed(0))
    assert defense.warm_start
    assert isinstance(module, RobustTraining)
    assert module.steps == 2
    zoo_data.train_batch_size = module.train_batch_size
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    pl.Trainer(max_steps=2, accelerator="cpu", **quiet).fit(module, zoo_data.train_dataloader())
    assert not torch.equal(small.word_vectors, before)


@pytest.mark.parametrize("defense", TRAINED)
def test_a_step_depends_on_its_seed(defense, small, zoo_data, train: RankingBatch) -> None:
    """Same seed, same loss; another seed, another loss; global generators are left alone."""
    state = torch.random.get_rng_state()
    one, again, other = (
        defense().robustify(small, zoo_data, Seed(seed)).objective(train).sum() for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("defense", TRAINED)
def test_lexical_victims_and_unjudged_queries_are_refused(defense, small, zoo_data, train) -> None:
    """What cannot be trained says so, with a way out."""
    with pytest.raises(UsageError, match="neural victim"):
        defense().robustify(BM25(), zoo_data, Seed(0))
    unjudged = train.replace(grades=torch.full_like(train.grades, torch.nan))
    with pytest.raises(UsageError, match="no judgements"):
        defense().robustify(small, zoo_data, Seed(0)).objective(unjudged)


def test_rivals_have_another_grade(train: RankingBatch) -> None:
    """The own passage has grade 2, so every rival is worse; unjudged lists have none."""
    passage, sign = rivals(train, Seed(0).draws(train.ids))
    assert sign.tolist() == [1.0] * 16
    assert bool((passage != train.passage).all())
    flat = train.replace(grades=torch.ones_like(train.grades))
    assert rivals(flat, Seed(0).draws(train.ids))[1].tolist() == [0.0] * 16
    drawn = pairs(train, Seed(0).draws(train.ids))
    assert drawn.better == train.texts()
    assert drawn.worse == [train.corpus.passages[number] for number in passage.tolist()]
    low = train.replace(grades=-train.grades)
    assert pairs(low, Seed(0).draws(train.ids)).worse == train.texts()


def test_a_ball_by_hand() -> None:
    """Shifts are cut to their share of the vector's length, token by token; padding does not move."""
    vectors = torch.tensor([[[3.0, 4.0], [0.0, 1.0], [1.0, 0.0]]])
    shift = torch.tensor([[[0.0, 9.0], [0.05, 0.0], [1.0, 1.0]]])
    cut = in_ball(shift, vectors, torch.tensor([[True, True, False]]), 0.1)
    assert torch.allclose(cut, torch.tensor([[[0.0, 0.5], [0.05, 0.0], [0.0, 0.0]]]))


@pytest.mark.parametrize("steps", [1, 3])
def test_the_attack_inside_hurts_within_its_ball(small, zoo_data, train: RankingBatch, steps: int) -> None:
    """The loss rises for nearly every pair, and no word vector moves by more than its share."""
    module = AdversarialTraining(radius=0.2, inner_steps=steps).robustify(small, zoo_data, Seed(0))
    assert isinstance(module, ShiftedTraining)
    drawn = pairs(train, Seed(0).draws(train.ids))
    both = read(small, train, drawn.query.repeat(2), [*drawn.better, *drawn.worse])
    shift = module.worst_shift(both, Seed(1).draws(train.ids))
    share = shift.norm(dim=-1) / both.vectors.norm(dim=-1).clamp_min(1e-9)
    assert float(share[both.mask].detach().max()) <= 0.2 + 1e-4
    assert float(shift[~both.mask].abs().sum()) == 0
    clean, worse = (module.margin(both, by) for by in (torch.zeros_like(shift), shift))
    assert float((worse < clean).float().mean()) > 0.9


def test_the_adversarial_objective_is_the_sum_of_both_losses(small, zoo_data, train: RankingBatch) -> None:
    """Clean and shifted loss of the same pairs."""
    module = AdversarialTraining().robustify(small, zoo_data, Seed(0))
    assert isinstance(module, ShiftedTraining)
    draw = Seed(5).draws(train.ids)
    drawn = pairs(train, draw.fork("pairs"))
    both = read(small, train, drawn.query.repeat(2), [*drawn.better, *drawn.worse])
    shift = module.worst_shift(both, draw.fork("start"))
    margins = [module.margin(both, by) for by in (torch.zeros_like(shift), shift)]
    expected = sum(ranknet(margin, small.smoothing) for margin in margins)
    assert torch.allclose(module.row_loss(train, draw), expected, atol=1e-5)


def shifted_loss(victim, data) -> float:
    """The pairwise loss of a victim under the attack inside, radius 0.5, five steps."""
    batch = data.split("train")
    module = AdversarialTraining(radius=0.5, inner_steps=5).robustify(victim, data, Seed(0))
    drawn = pairs(batch, Seed(9).draws(batch.ids))
    both = read(victim, batch, drawn.query.repeat(2), [*drawn.better, *drawn.worse])
    shift = module.worst_shift(both, Seed(8).draws(batch.ids))
    return float(module.ranked(module.margin(both, shift)).mean())


def test_adversarial_training_lowers_the_shifted_loss(small, zoo_data) -> None:
    """From the same start and with as many steps, the loss under shifts ends below plain training's."""
    plain = trained(small, None, zoo_data, 30)
    robust = trained(small, AdversarialTraining(radius=0.5, inner_steps=2), zoo_data, 30)
    assert shifted_loss(robust, zoo_data) < 0.9 * shifted_loss(plain, zoo_data)


def test_distances_by_hand() -> None:
    """Scores 0 and log 3 against equal ones: KL, cross entropy, and the likelihood of the clean order."""
    clean, moved = torch.tensor([[0.0, 3.0]]).log1p() * 0, torch.zeros(1, 2)
    clean = torch.tensor([[0.0, torch.log(torch.tensor(3.0))]])
    kl = 0.75 * torch.log(torch.tensor(1.5)) + 0.25 * torch.log(torch.tensor(0.5))
    assert float(apart(clean, moved, "kl")) == pytest.approx(float(kl), abs=1e-6)
    assert float(apart(clean, moved, "listnet")) == pytest.approx(0.693147, abs=1e-5)
    assert float(apart(clean, moved, "listmle")) == pytest.approx(0.693147 / 2, abs=1e-5)
    assert float(apart(clean, clean, "kl")) == pytest.approx(0.0, abs=1e-7)
    assert float(apart(clean, -clean, "listmle")) > float(apart(clean, clean, "listmle"))


@pytest.mark.parametrize("distance", ["kl", "listnet", "listmle"])
def test_lists_are_moved_apart_and_tied_together(small, zoo_data, train: RankingBatch, distance) -> None:
    """The shift raises the distance; the objective is the natural loss plus its weight times that distance."""
    lists, draw = len(train), Seed(2).draws(train.ids)
    losses = {}
    for weight in (0.0, 2.0):
        module = Piat(distance=distance, weight=weight, radius=0.3).robustify(small, zoo_data, Seed(0))
        assert isinstance(module, InvariantTraining)
        losses[weight] = module.row_loss(train, Seed(2).draws(train.ids))
    listed, sign = module.lists(train, draw.fork("lists"))
    shift = module.worst_shift(listed, lists, draw.fork("start"))
    clean = module.scores(listed, lists)
    moved = module.scores(listed._replace(vectors=listed.vectors + shift), lists)
    gap = apart(clean, moved, distance)
    assert torch.allclose(losses[2.0] - losses[0.0], 2 * gap, atol=1e-5)
    assert torch.allclose(losses[0.0], ranknet(clean[:, 0] - clean[:, 1], small.smoothing), atol=1e-5)
    assert float((gap > apart(clean, clean, distance)).float().mean()) > 0.9
    assert sign.tolist() == [1.0] * lists


def test_short_lists_repeat_the_target(small, zoo_data, train: RankingBatch) -> None:
    """With two candidates and four places the target stands in."""
    two = train.replace(candidates=torch.where(torch.arange(16) < 2, train.candidates, -1)).select([0, 1])
    module = Piat(passages=4).robustify(small, zoo_data, Seed(0))
    assert isinstance(module, InvariantTraining)
    listed, _ = module.lists(two, Seed(0).draws(two.ids))
    scores = module.scores(listed, 2)
    assert scores.shape == (2, 4)
    assert torch.allclose(scores[:, 2:], scores[:, :1].expand(-1, 2), atol=1e-5)


def test_a_share_of_the_worse_passages_carries_a_trigger(small, zoo_data, train: RankingBatch) -> None:
    """None with share 0, all with 1, the query in front; the better ones never."""
    draw = Seed(0).draws(train.ids)
    drawn = pairs(train, draw)

    def made(**options) -> list[str]:
        module = Augmentation(**options).robustify(small, zoo_data, Seed(0))
        assert isinstance(module, TriggeredTraining)
        return module.triggered(train, drawn.worse, Seed(1).draws(train.ids))

    assert made(share=0.0) == drawn.worse
    by_hand = [f"{query} {text}" for query, text in zip(train.query_texts(), drawn.worse, strict=True)]
    assert made(share=1.0, trigger="query") == by_hand
    some = [a != b for a, b in zip(made(share=0.5), drawn.worse, strict=True)]
    assert 2 < sum(some) < 14


@pytest.mark.parametrize("kind", KINDS)
def test_triggers_are_words_and_seeded(small, train: RankingBatch, kind) -> None:
    """Six words each (the query for stuffing), the same for one seed, a row its own whatever its neighbours."""
    texts = train.texts()
    first, again = (
        triggers(kind, small, train, train.query, texts, Seed(3).draws(train.ids)) for _ in range(2)
    )
    assert first == again
    assert {len(trigger.split()) for trigger in first} == ({3} if kind == "query" else {6})
    rows = torch.tensor([4, 9])
    alone = triggers(
        kind, small, train, train.query[rows], [texts[4], texts[9]], Seed(3).draws(train.ids).select(rows)
    )
    assert alone == [first[4], first[9]]


def test_first_order_triggers_raise_the_score(small, train: RankingBatch) -> None:
    """More than random words do."""

    def score(kind: str) -> float:
        made = triggers(kind, small, train, train.query, train.texts(), Seed(3).draws(train.ids))
        texts = [f"{trigger} {text}" for trigger, text in zip(made, train.texts(), strict=True)]
        with torch.no_grad():
            return float(small.text_scores(train.corpus, train.query, texts).mean())

    assert score("gradient") > score("random")


def test_augmentation_pushes_stuffed_passages_down(small, zoo_data, train: RankingBatch) -> None:
    """After it, the query in front of a wrong passage helps it less than after plain training."""

    def gain(victim) -> float:
        wrong = [train.corpus.passages[(number + 5) % 16] for number in train.query.tolist()]
        stuffed = [f"{query} {text}" for query, text in zip(train.query_texts(), wrong, strict=True)]
        with torch.no_grad():
            own, other = (victim.text_scores(train.corpus, train.query, t) for t in (stuffed, wrong))
        return float((own - other).mean())

    plain = trained(small, None, zoo_data, 30)
    robust = trained(small, Augmentation(trigger="query"), zoo_data, 30)
    assert gain(robust) < gain(plain)
