"""Copies, the mean over them, and what is proven about the ranks that really are answered."""

from itertools import combinations, product

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch, ranks
from robeval.domains.ranking.budget import spent
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.text import words_of
from robeval.plugins.contracts import Certifies
from robeval.seeding import Noise, Seed
from robeval_defenses.ranking.certdr import CertDR, SubstitutedCopies
from robeval_defenses.ranking.neighbours import Neighbours
from robeval_defenses.ranking.random_masking import MASK, MaskedCopies, RandomMasking
from robeval_defenses.ranking.smoothed import SmoothedRanker

STEEP = {"mask_share": 0.9, "samples": 100, "certificate_samples": 4000, "sharpness": 30.0}
"""Scores are almost 0 or 1, and two of 17 words are shown: a replaced word can be seen in 12 of 100 copies."""
TEXTS = ["the fox runs in the wood", "a hare", ""]


def draws(texts: list[str], seed: int = 0):
    """One stream per text."""
    return Seed(seed).draws(texts)


def pairs_of_words() -> Neighbours:
    """Fox and hare, wood and field: each two are one set."""
    near = torch.zeros(4, 4, dtype=torch.bool)
    near[0, 1] = near[2, 3] = True
    return Neighbours.of(("fox", "hare", "wood", "field"), near, near.float() + near.T.float(), most=5)


@pytest.mark.parametrize(("share", "kept"), [(0.3, 4), (0.5, 3), (0.9, 1)])
def test_a_copy_keeps_its_share(zoo: Corpus, share: float, kept: int) -> None:
    """Of six words all but the rounded share are kept, in their places; at least one is."""
    copies = MaskedCopies(share, 1).copies(zoo, TEXTS, draws(TEXTS), 20)
    assert len(copies) == 60
    assert all(copy == "" for copy in copies[40:])
    for copy in copies[:20]:
        words = words_of(copy)
        assert len(words) == 6
        assert sum(word != MASK for word in words) == kept
        assert all(word in (MASK, own) for word, own in zip(words, words_of(TEXTS[0]), strict=True))
    assert len(set(copies[:20])) > 3


def test_every_mask_is_as_likely(zoo: Corpus) -> None:
    """Over many copies of six words with three kept, each of the twenty masks comes up about equally often."""
    copies = MaskedCopies(0.5, 1).copies(zoo, TEXTS[:1], draws(TEXTS[:1]), 4000)
    counts = torch.tensor([copies.count(copy) for copy in set(copies)])
    assert len(counts) == len(list(combinations(range(6), 3)))
    assert counts.min() > 150
    assert counts.max() < 250


def test_drawn_words_come_from_their_sets(zoo: Corpus) -> None:
    """Fox may become hare and wood field, each half of the time; other words stay; nothing depends on neighbours."""
    copier = SubstitutedCopies(pairs_of_words(), edits=1)
    copies = copier.copies(zoo, TEXTS, draws(TEXTS), 400)
    expected = {f"the {a} runs in the {p}" for a in ("fox", "hare") for p in ("wood", "field")}
    assert set(copies[:400]) == expected
    assert 60 < copies[:400].count("the hare runs in the field") < 140
    assert copier.copies(zoo, TEXTS[1:2], draws(TEXTS[1:2]), 400) == copies[400:800]


def test_how_a_word_is_written_does_not_show(zoo: Corpus) -> None:
    """Copies of a text and of its substitution are alike, letter for letter: sets that agree cost nothing."""
    copier = SubstitutedCopies(pairs_of_words(), edits=1)
    one, other = (
        set(copier.copies(zoo, [text], draws(["same"]), 200)) for text in ("The Fox, here", "The hare, here")
    )
    assert one == other
    assert copier.shift(zoo, ["The Fox, here", "", "nothing known"]).tolist() == [0.0, 0.0, 0.0]


def test_a_text_without_known_words(zoo: Corpus) -> None:
    """Its copies are itself."""
    assert SubstitutedCopies(pairs_of_words(), 1).copies(zoo, ["one two"], draws(["a"]), 2) == ["one two"] * 2


@pytest.fixture
def masked(counting, zoo_data) -> SmoothedRanker:
    """The lexical ranker behind masks."""
    return RandomMasking(**STEEP).harden(counting, zoo_data, Seed(3))


def test_scores_are_means_of_sigmoids(masked: SmoothedRanker, zoo: Corpus) -> None:
    """By hand: every copy scored, centred, scaled, squashed, averaged."""
    draw = draws(["x"])
    copies = masked.copier.copies(zoo, ["the fox runs in the wood"], draws(["x"]), 7)
    query = torch.tensor([0])
    scores = masked.victim.text_scores(zoo, query.repeat(7), copies)
    by_hand = torch.sigmoid(30 * (scores - masked.centre) / masked.spread).mean()
    assert masked.mean_score(zoo, query, ["the fox runs in the wood"], draw, 7).item() == pytest.approx(
        by_hand.item(), abs=1e-6
    )


def test_one_row_at_a_time_is_the_same(masked: SmoothedRanker, attacked_ones: RankingBatch) -> None:
    """An example's list depends on it alone, and an unchanged passage scores alike as target and as candidate."""
    together = masked(attacked_ones)
    for row in range(len(attacked_ones)):
        alone = masked(attacked_ones.select([row]))
        assert torch.equal(alone.scores[0], together.scores[row])
    other = attacked_ones.replace(target=torch.zeros_like(attacked_ones.target))
    other = other.with_texts(other.original_texts())
    assert torch.equal(masked(other).scores, together.scores)


def test_an_attacker_meets_other_copies(masked: SmoothedRanker, attacked_ones: RankingBatch) -> None:
    """Fresh ones for its own text with every question, one fixed set for the others; the evaluation's stay hidden."""
    judged = masked(attacked_ones)
    (noise,) = [module for module in masked.modules() if isinstance(module, Noise)]
    answers = []
    for number in (1, 2):
        noise.round = number
        answers.append(masked(attacked_ones))
    noise.round = 0
    assert not torch.equal(answers[0].own(), answers[1].own())
    others = attacked_ones.others
    assert torch.equal(answers[0].scores[others], answers[1].scores[others])
    assert not torch.equal(answers[0].scores[others], judged.scores[others])
    assert torch.equal(masked(attacked_ones).scores, judged.scores)


def test_gradients_are_the_victims(small, zoo_data, attacked_ones: RankingBatch) -> None:
    """White-box attackers differentiate the victim inside."""
    smoothed = CertDR(samples=2).harden(small, zoo_data, Seed(0))
    corpus = attacked_ones.corpus
    query, passage = (
        f(corpus, attacked_ones.query) for f in (smoothed.query_tokens, smoothed.passage_tokens)
    )
    vectors = smoothed.embed(passage).detach().requires_grad_()
    smoothed.relevance_from_embeddings(query, vectors, passage.mask).sum().backward()
    assert vectors.grad is not None
    assert bool((vectors.grad != 0).any())


def test_no_replacement_within_the_radius_beats_the_masking_bound(
    masked: SmoothedRanker, attacked_ones: RankingBatch
) -> None:
    """Every word of the target replaced by every query word: no rank is better than the proven one."""
    assert isinstance(masked, Certifies)
    batch = attacked_ones.select([0, 3])
    bound = masked.certify(batch)
    ranked = ranks(masked(batch))
    assert bool((bound["rank"] <= ranked).all())
    assert torch.equal(bound["boost"], ranked - bound["rank"])
    best = torch.full((2,), 99.0)
    for place in range(len(words_of(batch.texts()[0]))):
        for which in range(3):
            texts = []
            for text, query in zip(batch.texts(), batch.query_texts(), strict=True):
                words = words_of(text)
                words[place] = query.split()[which]
                texts.append(" ".join(words))
            attacked = batch.with_texts(texts)
            assert float(spent(batch, attacked)["replaced_words"].max()) <= masked.radius
            best = torch.minimum(best, ranks(masked(attacked)))
    assert bool((best >= bound["rank"]).all())
    assert bool((best < ranked).any()), "the attack does something"


def test_no_substitution_beats_the_synonym_bound(
    counting, zoo_data, attacked_ones: RankingBatch, tmp_path
) -> None:
    """Every combination of neighbours of the target's words: no rank is better than the proven one."""
    path = tmp_path / "words.tsv"
    path.write_text("bear\thare\nhare\tfox\nriver\tcave\ncave\tfield\n")
    defense = CertDR(synonyms=str(path), most=2, samples=30, certificate_samples=1200)
    certified = defense.harden(counting, zoo_data, Seed(1))
    batch = attacked_ones.select([0, 2, 5])
    bound = certified.certify(batch)["rank"]
    assert bool((bound > 1).any()), "something is proven"
    words = words_of(batch.texts()[0])
    near = {"bear": ("bear", "hare"), "river": ("river", "cave")}
    places = [place for place, word in enumerate(words) if word in near]
    for chosen in product(*(near[words[place]] for place in places)):
        changed = list(words)
        for place, word in zip(places, chosen, strict=True):
            changed[place] = word
        if sum(a != b for a, b in zip(words, changed, strict=True)) <= certified.radius:
            attacked = batch.with_texts([" ".join(changed)] * 3)
            assert bool((ranks(certified(attacked)) >= bound).all())


def test_a_wider_radius_proves_less(counting, zoo_data, attacked_ones: RankingBatch) -> None:
    """The proven rank falls with the words that are covered, and too few copies prove nothing."""

    def proven(**options) -> torch.Tensor:
        defense = RandomMasking(**{**STEEP, **options})
        return defense.harden(counting, zoo_data, Seed(3)).certify(attacked_ones.select([0, 1, 2]))["rank"]

    assert proven().mean() >= proven(certificate_words=4).mean()
    assert proven().mean() > proven(certificate_samples=1000).mean()
    assert proven(samples=1, certificate_words=40).tolist() == [1.0] * 3


def test_certified_tops_need_distance(counting, zoo_data) -> None:
    """With tiny shifts and many copies some lists keep their top, with the whole text exposed none does."""
    lists = zoo_data.split("val").select([0, 5])
    options = {"samples": 5, "certificate_samples": 800, "sharpness": 0.5}
    close = CertDR(**options, cosine=0.999).harden(counting, zoo_data, Seed(0))
    open_ = RandomMasking(**options, mask_share=0.1, certificate_words=5).harden(counting, zoo_data, Seed(0))
    assert bool(close.certified_top(lists, 1).any())
    assert not bool(open_.certified_top(lists, 1).any())
