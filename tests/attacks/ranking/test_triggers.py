"""What holds for every attack that inserts a trigger."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.domain import RankingDomain
from robeval.domains.ranking.ranker import NeuralRanker, Ranker
from robeval.domains.ranking.tokens import corpus_tokenizer
from robeval.errors import AccessError, UsageError
from robeval.plugins.contracts import Attack
from robeval.plugins.views import View
from robeval.seeding import Seed
from robeval_attacks.ranking.beams import Beams, grow
from robeval_attacks.ranking.collision import Collision
from robeval_attacks.ranking.hotflip import HotFlip
from robeval_attacks.ranking.imitation import Imitation
from robeval_attacks.ranking.pat import PAT
from robeval_attacks.ranking.pat_plus import PATPlus
from robeval_attacks.ranking.query_stuffing import QueryStuffing
from robeval_attacks.ranking.random_trigger import RandomTrigger
from robeval_attacks.ranking.word_substitution import WordSubstitution

LISTS = 8
SMALL: dict[str, Any] = {"queries": LISTS, "imitation_steps": 15, "beams": 3, "candidates": 8}
SEARCHES = {
    "pat": PAT(**SMALL),
    "pat-plus": PATPlus(**SMALL),
    "collision-natural": Collision(**SMALL),
    "collision-aggressive": Collision(**SMALL, kind="aggressive", gradient_steps=2),
    "hotflip": HotFlip(queries=LISTS, imitation_steps=15, candidates=8),
}
TRIGGERS: dict[str, Attack[RankingBatch]] = {
    **SEARCHES,
    "random": RandomTrigger(),
    "stuffing": QueryStuffing(copies=2, shuffle=True),
}
every_search = pytest.mark.parametrize("name", SEARCHES)
strong_search = pytest.mark.parametrize("name", [name for name in SEARCHES if name != "collision-natural"])
every_trigger = pytest.mark.parametrize("name", TRIGGERS)


def scores(ranker: Ranker, batch: RankingBatch) -> torch.Tensor:
    return ranker.text_scores(batch.corpus, batch.query, batch.texts())


def alone(clean: RankingBatch, found: RankingBatch) -> RankingBatch:
    """The triggers that stand in front, as if they were the passages."""
    pairs = zip(found.texts(), clean.texts(), strict=True)
    triggers = [new.removesuffix(old).strip() for new, old in pairs]
    assert all(triggers)
    return clean.with_texts(triggers)


@every_trigger
@pytest.mark.parametrize("budget", [0.0, 4.0])
def test_budget_and_form_are_kept(
    small_world: RankingBatch,
    word_ranker: NeuralRanker,
    run_attack: Any,
    spent_of: Any,
    name: str,
    budget: float,
) -> None:
    """At most the budget's tokens in one run of words, every passage whole; without a budget nothing happens."""
    found, _ = run_attack(TRIGGERS[name], word_ranker, small_world, budget)
    spent = spent_of(small_world, found)
    assert (spent["tokens"] <= budget).all()
    assert (spent["insertion_only"] == 0).all()
    assert (spent["tokens"] > 0).all() == (budget > 0)
    assert found.replace(text=small_world.text).identical(small_world)


@strong_search
def test_searches_on_the_victim_beat_random_words(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any, name: str
) -> None:
    """Searching on the victim itself gives every target a higher mean score than random words."""
    attack = replace(SEARCHES[name], surrogate="victim")
    found, _ = run_attack(attack, word_ranker, small_world, 4.0)
    random, _ = run_attack(RandomTrigger(), word_ranker, small_world, 4.0)
    assert scores(word_ranker, found).mean() > scores(word_ranker, random).mean() + 0.1


@strong_search
def test_searches_raise_their_imitations_score(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any, name: str
) -> None:
    """What is found on the imitation scores higher there than random words, read as it was searched for."""
    # Without the language model, which here has learnt next to nothing.
    attack = replace(SEARCHES[name], tries=1, **({"fluency": 0.0} if name == "pat" else {}))
    found, view = run_attack(attack, word_ranker, small_world, 4.0)
    random, _ = run_attack(RandomTrigger(), word_ranker, small_world, 4.0)
    if name in ("pat", "collision-aggressive"):
        found, random = alone(small_world, found), alone(small_world, random)
    own = view.prepared.ranker
    assert scores(own, found).mean() > scores(own, random).mean()


@every_trigger
def test_the_same_seed_gives_the_same_text(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any, name: str
) -> None:
    """Twice the same, and the batch that was given is as it was."""
    before = small_world.text.clone()
    first, _ = run_attack(TRIGGERS[name], word_ranker, small_world, 4.0)
    second, _ = run_attack(TRIGGERS[name], word_ranker, small_world, 4.0)
    assert first.texts() == second.texts()
    assert small_world.text.equal(before)


@every_trigger
def test_neighbours_in_the_batch_do_not_matter(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any, name: str
) -> None:
    """Two targets alone, in another order, get the triggers that they get among all."""
    whole, _ = run_attack(TRIGGERS[name], word_ranker, small_world, 3.0)
    # The imitation is the same one: it was trained on all queries.
    some, _ = run_attack(TRIGGERS[name], word_ranker, small_world.select([6, 1]), 3.0, data=small_world)
    assert some.texts() == [whole.texts()[6], whole.texts()[1]]


def test_a_random_seed_changes_random_words(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """Another seed draws other words."""
    first, _ = run_attack(RandomTrigger(), word_ranker, small_world, seed=0)
    second, _ = run_attack(RandomTrigger(), word_ranker, small_world, seed=1)
    assert all(a != b for a, b in zip(first.texts(), second.texts(), strict=True))


@every_search
def test_black_box_searches_get_by_with_ranked_lists(
    small_world: RankingBatch, word_ranker: NeuralRanker, name: str
) -> None:
    """On an imitation the grant is rank access; on the victim it is white box, and nothing is imitated."""
    attack = SEARCHES[name]
    assert attack.grant.access == "rank"
    assert attack.preparation is not None
    assert attack.preparation.queries == LISTS
    assert attack.transfers_from is None
    white = replace(attack, surrogate="victim")
    assert white.grant.access == "white-box"
    assert white.preparation is None


@every_search
def test_searching_on_the_victim_needs_the_grant(
    small_world: RankingBatch, word_ranker: NeuralRanker, name: str
) -> None:
    """With a view that shows lists only, reaching for the victim raises AccessError."""
    attack = replace(SEARCHES[name], surrogate="victim")
    view = View(word_ranker, RankingDomain(), attack.threat, small_world.ids)
    with pytest.raises(AccessError, match="module"):
        attack.perturb(view, small_world, 2.0, Seed(0).draws(small_world.ids))


def test_rankers_without_word_vectors_are_refused(small_world: RankingBatch) -> None:
    """A victim that counts words cannot be searched on; the message says what can."""
    from robeval.domains.ranking.victims.bm25 import BM25

    attack = HotFlip(surrogate="victim")
    view = View(BM25(), RankingDomain(), attack.grant, small_world.ids)
    with pytest.raises(UsageError, match="surrogate=imitation"):
        attack.perturb(view, small_world, 2.0, Seed(0).draws(small_world.ids))


def test_attacks_share_one_imitation() -> None:
    """All attacks that ask for as many lists have equal preparations, the imitation alone included."""
    attacks = (PAT(), PATPlus(), Collision(), HotFlip(), WordSubstitution(), Imitation())
    assert len({attack.preparation for attack in attacks}) == 1


def test_forbidden_words_stand_in_no_trigger(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """Unbanned, query words are what the victim wants most; banned, there are none."""
    free = replace(SEARCHES["pat-plus"], surrogate="victim")
    banned = replace(free, forbid="query+inflections")
    counts = [
        RankingDomain()
        .spent(small_world, run_attack(a, word_ranker, small_world)[0])["new_query_words"]
        .sum()
        for a in (free, banned)
    ]
    assert counts[0] > 0
    assert counts[1] == 0


def test_collisions_hold_no_query_word(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """Of either kind, on the victim itself."""
    for name in ("collision-natural", "collision-aggressive"):
        found, _ = run_attack(replace(SEARCHES[name], surrogate="victim"), word_ranker, small_world)
        assert RankingDomain().spent(small_world, found)["new_query_words"].sum() == 0


def test_natural_collisions_weigh_relevance_against_language(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """Read alone, as they are searched for, they score higher than what the language model says by itself."""
    base = replace(SEARCHES["collision-natural"], surrogate="victim", gradient_steps=0)
    values = []
    for fluency in (0.02, 1.0):
        found, _ = run_attack(replace(base, fluency=fluency), word_ranker, small_world, 3.0)
        values.append(scores(word_ranker, alone(small_world, found)).mean())
    assert values[0] > values[1] + 0.1


def test_gradients_on_the_victim_are_seen(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """A white-box search reports the slopes that it took; one on an imitation has none of the victim's."""
    _, white = run_attack(replace(SEARCHES["hotflip"], surrogate="victim"), word_ranker, small_world, 2.0)
    _, black = run_attack(SEARCHES["hotflip"], word_ranker, small_world, 2.0)
    assert white.observations()["gradient_examples"] == len(small_world)
    assert white.observations()["zero_gradient_examples"] == 0
    assert black.observations()["gradient_examples"] == 0


def test_an_empty_passage_is_attacked(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """A passage without text becomes its trigger."""
    batch = small_world.with_texts(["", *small_world.texts()[1:]])
    for attack in (*SEARCHES.values(), RandomTrigger()):
        found, _ = run_attack(attack, word_ranker, batch, 3.0)
        assert found.texts()[0].strip()


def test_the_pairwise_step_is_inert_at_its_published_size(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adam moves an offset by at most 5e-3, so almost all candidates stay; steps of 1 exchange many."""
    from robeval_attacks.ranking import anchored

    proposed = []

    def first_candidates(task: Any, count: int, steps: int, width: int, device: Any) -> Any:
        nothing = torch.zeros(count, 1, 0, dtype=torch.long)
        found = task.extend(Beams(nothing, torch.zeros(count, 1), torch.ones(count, 1, dtype=torch.bool)))
        proposed.append(found.ids.squeeze(1))
        return grow(task, count, 1, width, device)

    monkeypatch.setattr(anchored, "grow", first_candidates)
    for options in ({"gradient_steps": 0}, {}, {"gradient_step": 1.0}):
        attack = replace(SEARCHES["pat"], surrogate="victim", candidates=16, **options)
        run_attack(attack, word_ranker, small_world, 1.0)
    plain, published, large = proposed
    kept = [(plain.unsqueeze(2) == ids.unsqueeze(1)).any(dim=2).double().mean() for ids in (published, large)]
    assert kept[0] >= 0.9
    assert kept[1] <= 0.7


def test_stuffing_puts_the_query_in_front(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """The query's words in order, cut to the budget."""
    whole, view = run_attack(QueryStuffing(), word_ranker, small_world)
    pairs = zip(small_world.query_texts(), small_world.texts(), strict=True)
    assert whole.texts() == [f"{query} {text}" for query, text in pairs]
    assert int(view.queries.sum()) == 0
    cut, _ = run_attack(QueryStuffing(copies=3), word_ranker, small_world, 3.0)
    words = small_world.query_texts()[0].split()
    assert cut.texts()[0].startswith(" ".join([*words, words[0], small_world.texts()[0]]))


def test_imitation_alone_changes_nothing(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """The examples come back as they were, with a note on how well the lists agree: five figures per target."""
    found, view = run_attack(Imitation(queries=LISTS, steps=15), word_ranker, small_world)
    assert found.identical(small_world)
    assert {"overlap@10", "rbo", "zone", "nDCG@10", "RR@10"} == view.measures.keys()
    assert ((view.measures["overlap@10"] >= 0) & (view.measures["overlap@10"] <= 1)).all()
    assert view.queries.tolist() == [1] * len(small_world)


def test_triggers_begin_with_a_whole_word(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """The first piece of every trigger is a word of the vocabulary, and reads back as itself."""
    tokenizer = corpus_tokenizer(small_world.corpus)
    for attack in SEARCHES.values():
        found, _ = run_attack(attack, word_ranker, small_world, 4.0)
        first = tokenizer.encode(found.texts()).ids[:, 0]
        assert tokenizer.is_word[first].all()


def test_what_an_imitation_promises_stands_beside_what_the_victim_shows(
    small_world: RankingBatch, word_ranker: NeuralRanker, run_attack: Any
) -> None:
    """A search on an imitation says how well its triggers do there; one on the victim has nothing to compare."""
    _, view = run_attack(HotFlip(queries=LISTS, imitation_steps=15), word_ranker, small_world)
    assert (view.measures["boost on the imitation"] > 0).double().mean() > 0.5
    assert set(view.measures["top10 on the imitation"].tolist()) <= {0.0, 1.0}
    _, view = run_attack(HotFlip(surrogate="victim"), word_ranker, small_world)
    assert not view.measures
