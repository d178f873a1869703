"""Filters: what they suspect by hand, the rate at which they were calibrated, and what they leave alone."""

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch, ranks
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.language import JUDGE, language_model
from robeval.errors import PluginError, UsageError
from robeval.plugins.contracts import Detects
from robeval.seeding import Seed
from robeval_defenses.ranking.acceptability_filter import AcceptabilityFilter
from robeval_defenses.ranking.coherence_filter import CoherenceFilter
from robeval_defenses.ranking.filtered import FilteredRanker
from robeval_defenses.ranking.learned_detector import LearnedDetector
from robeval_defenses.ranking.perplexity_filter import PerplexityFilter
from robeval_defenses.ranking.spamicity_filter import SpamicityFilter, SpamicityFiltered

FILTERS = (
    PerplexityFilter,
    AcceptabilityFilter,
    SpamicityFilter,
    CoherenceFilter,
    LearnedDetector,
)


class ByLength(FilteredRanker):
    """The longer the more suspicious; counts how often it is asked."""

    asked = 0

    def suspicion(self, corpus, query, texts):
        self.asked += len(texts)
        return torch.tensor([float(len(text)) for text in texts])


@pytest.mark.parametrize("false_alarms", [0.05, 0.3])
def test_the_threshold_is_the_stated_rate(counting, zoo_data, false_alarms: float) -> None:
    """At most that share of the validation lists' passages is above it, and with one more it would be exceeded."""
    lists = zoo_data.split("val")
    filtered = ByLength(counting)
    filtered.calibrate(zoo_data, false_alarms)
    values = filtered.listed_suspicion(lists)[lists.listed]
    assert float((values > filtered.threshold).float().mean()) <= false_alarms
    assert float((values >= filtered.threshold).float().mean()) > false_alarms


def test_what_is_suspicious_is_removed(counting, zoo_data, attacked_ones: RankingBatch) -> None:
    """A long target stands behind its whole list and raises an alarm; scores stay the victim's."""
    filtered = ByLength(counting)
    filtered.calibrate(zoo_data, 0.05)
    long = attacked_ones.with_texts([text + " and runs and runs" for text in attacked_ones.texts()])
    answer = filtered(long)
    assert ranks(answer).tolist() == [17.0] * len(long)
    assert torch.equal(answer.scores, counting(long).scores)
    assert isinstance(filtered, Detects)
    assert bool((filtered.alarm(long) > 0).all())
    assert bool((filtered.alarm(attacked_ones) <= 0).all())
    assert answer.suspicion is not None
    assert torch.equal(filtered.alarm(long), answer.suspicion[:, 15] - filtered.threshold)


def test_each_passage_is_asked_once(counting, zoo_data, attacked_ones: RankingBatch) -> None:
    """A filter that does not read the query sees every unchanged passage once; the victim's memo is used."""
    filtered = ByLength(counting)
    filtered(attacked_ones)
    assert filtered.asked == 16 + len(attacked_ones)
    before = counting.asked
    counting(attacked_ones)
    assert counting.asked == before + len(attacked_ones)


def test_places_without_a_passage_are_not_removed(counting, zoo_data, attacked_ones: RankingBatch) -> None:
    """Padding is neither suspicious nor thrown out."""
    filtered = ByLength(counting)
    filtered.threshold.fill_(-1.0)
    short = attacked_ones.replace(candidates=torch.where(torch.arange(16) == 3, -1, attacked_ones.candidates))
    answer = filtered(short)
    assert answer.suspicion is not None
    assert not bool(answer.removed[:, 3].any())
    assert bool(answer.removed[:, 4].all())
    assert answer.suspicion[:, 3].tolist() == [0.0] * len(short)


@pytest.mark.parametrize("defense", FILTERS)
def test_a_filter_at_work(defense, small, zoo_data, attacked_ones: RankingBatch) -> None:
    """Clean passages pass at the calibrated rate, whichever list they are in; twice made it answers the same."""
    made = [defense(false_alarms=0.1).harden(small, zoo_data, Seed(4)).eval() for _ in range(2)]
    lists = zoo_data.split("val")
    first, second = (module(lists) for module in made)
    assert torch.equal(first.suspicion, second.suspicion)
    assert bool(first.suspicion.isfinite().all())
    assert float(first.removed[lists.listed].float().mean()) <= 0.1
    alone = made[0](attacked_ones.select([2]))
    assert torch.allclose(alone.suspicion[0], made[0](attacked_ones).suspicion[2], atol=1e-5)
    empty = attacked_ones.with_texts(["", "the", *attacked_ones.texts()[2:]])
    assert bool(made[0](empty).suspicion.isfinite().all())


@pytest.mark.parametrize("defense", FILTERS)
def test_a_filter_leaves_the_victim_and_shared_models_alone(defense, small, zoo, zoo_data) -> None:
    """Turned into double precision or trained on, nothing of it is anybody else's."""
    language_model(zoo, seed=JUDGE)
    made = defense().harden(small, zoo_data, Seed(0))
    shared = {id(p) for p in language_model(zoo, seed=JUDGE).parameters()}
    assert not shared & {id(p) for p in made.parameters()}


def spam(zoo: Corpus, counting, text: str, maximum: str) -> float:
    """The density of a text for query 0, "fox in wood"."""
    filtered = SpamicityFiltered(counting, maximum)
    return float(filtered.suspicion(zoo, torch.tensor([0]), [text]))


def test_density_by_hand(zoo: Corpus, counting) -> None:
    """Two of three query words, fox and wood, which weigh alike: 2/3; with a heavier word in the text, less."""
    assert spam(zoo, counting, "fox wood", "passage") == pytest.approx(2 / 3)
    assert spam(zoo, counting, "Wood, fox!", "passage") == pytest.approx(2 / 3)
    assert spam(zoo, counting, "fox hare hare", "passage") == pytest.approx(1 / 6)
    assert spam(zoo, counting, "unknown", "passage") == 0.0
    assert spam(zoo, counting, "", "query") == 0.0
    assert spam(zoo, counting, "fox wood", "query") > spam(zoo, counting, "fox hare hare", "query") > 0


def test_stuffing_is_what_spamicity_sees(counting, zoo_data, attacked_ones: RankingBatch, stuffed) -> None:
    """The query in front raises every suspicion; other words do not."""
    filtered = SpamicityFilter().harden(counting, zoo_data, Seed(0))
    clean = filtered.alarm(attacked_ones)
    assert bool((filtered.alarm(stuffed(attacked_ones)) > clean).all())
    other = attacked_ones.with_texts([f"hare near {text}" for text in attacked_ones.texts()])
    assert float((filtered.alarm(other) > clean).float().mean()) < 0.5


def test_odd_words_are_what_perplexity_sees(counting, zoo_data, attacked_ones: RankingBatch) -> None:
    """A front of words in no order raises the suspicion of every target, as a whole and more so in a window."""
    odd = attacked_ones.with_texts([f"knows and runs . in the is {text}" for text in attacked_ones.texts()])
    rise = {}
    for window in (0, 6):
        filtered = PerplexityFilter(window=window).harden(counting, zoo_data, Seed(0))
        rise[window] = filtered.alarm(odd) - filtered.alarm(attacked_ones)
        assert bool((rise[window] > 0).all())
    assert float(rise[6].mean()) > float(rise[0].mean())


def test_perplexity_is_the_language_models(counting, zoo: Corpus, zoo_data) -> None:
    """The suspicion of a whole text is the log of what the judge's model says; 0 under two tokens."""
    filtered = PerplexityFilter(window=0).harden(counting, zoo_data, Seed(0))
    texts = list(zoo.passages[:3])
    found = filtered.suspicion(zoo, torch.zeros(5, dtype=torch.long), [*texts, "", "fox"])
    expected = language_model(zoo, seed=JUDGE).texts_perplexity(texts).log()
    assert torch.allclose(found[:3], expected, atol=1e-5)
    assert found[3:].tolist() == [0.0, 0.0]


def test_the_detector_learns_its_triggers(small, zoo_data, attacked_ones: RankingBatch, stuffed) -> None:
    """Trained on query words among others, it finds stuffed targets more suspicious than any clean passage."""
    detector = LearnedDetector(steps=60).harden(small, zoo_data, Seed(0))
    answer = detector(stuffed(attacked_ones))
    own = answer.suspicion.gather(1, answer.target.unsqueeze(1))
    assert float((answer.suspicion[:, :15] < own).float().mean()) > 0.9


@pytest.mark.parametrize("kind", ["query", "gradient"])
def test_a_kind_that_is_left_out_is_not_shown(kind: str, small, zoo_data, monkeypatch) -> None:
    """The detector asks for every other kind of trigger, and never for that one."""
    from robeval_defenses.ranking import learned_detector

    seen: list[str] = []
    real = learned_detector.triggers

    def watched(name, *rest):
        seen.append(name)
        return real(name, *rest)

    monkeypatch.setattr(learned_detector, "triggers", watched)
    LearnedDetector(leave_out=kind, steps=1).harden(small, zoo_data, Seed(0))
    assert set(seen) == {"query", "random", "fluent", "gradient"} - {kind}


def test_a_lexical_victim_has_no_first_order_triggers(counting, zoo_data) -> None:
    """The detector is trained without them, and gradients are refused with what to do."""
    detector = LearnedDetector(steps=1).harden(counting, zoo_data, Seed(0))
    with pytest.raises(UsageError, match="neural victim"):
        _ = detector.word_vectors


def test_a_victim_of_another_domain() -> None:
    """It is refused by name."""
    with pytest.raises(PluginError, match="Linear"):
        ByLength(torch.nn.Linear(1, 1))
