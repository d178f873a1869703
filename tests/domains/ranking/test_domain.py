"""The domain object: figures, reveals and pictures of a batch whose answers are known."""

import pytest
import torch

from robeval.domains.ranking import naturalness
from robeval.domains.ranking.batch import RankedLists, Ranking, RankingBatch, no_removals
from robeval.domains.ranking.domain import RankingDomain
from robeval.domains.ranking.tokens import corpus_tokenizer
from robeval.domains.ranking.victims.bm25 import BM25
from robeval.errors import AccessError
from robeval.plugins.contracts import Trial


class CountsLetters:
    """A language model for which every token has probability 1/4."""

    def __init__(self, corpus) -> None:
        self.tokenizer = corpus_tokenizer(corpus)

    def to(self, device):
        return self

    def log_probs(self, tokens):
        return torch.where(tokens.mask, torch.tensor(0.25).log(), 0.0)


@pytest.fixture(autouse=True)
def quick_language(monkeypatch) -> None:
    """No test here waits for a language model."""
    monkeypatch.setattr(naturalness, "language_model", lambda corpus, seed: CountsLetters(corpus))


@pytest.fixture
def trial(pairs: RankingBatch) -> Trial:
    """q1's target stuffed with its query, q2's as it was, before BM25."""
    victim = BM25()
    stuffed = pairs.with_texts([f"red fox red fox {pairs.texts()[0]}", pairs.texts()[1]])
    with torch.no_grad():
        return Trial(victim, pairs, stuffed, victim(pairs), victim(stuffed))


def test_stuffing_lifts_the_target(trial: Trial) -> None:
    """From third of three to first: two ranks gained, a success; the other example stays."""
    found = RankingDomain().score(trial)
    assert found["rank"].tolist() == [1.0, 2.0]
    assert found["boost"].tolist() == [2.0, 0.0]
    assert found["success"].tolist() == [1.0, 0.0]
    assert found["demoted"].tolist() == [0.0, 0.0]


def test_every_metric_has_its_column(trial: Trial) -> None:
    """One value per example for each metric that the domain names."""
    found = RankingDomain().score(trial)
    for metric in RankingDomain.metrics:
        assert found[metric.column].shape == (2,)


def test_ranking_quality_is_by_the_judgements(trial: Trial) -> None:
    """The clean list is ideal; with the stuffed passage ahead DCG falls to its known value; unjudged is NaN."""
    found = RankingDomain().score(trial)
    assert found["ndcg10"][0] == pytest.approx(1.0)
    assert found["mrr10"][0] == pytest.approx(1.0)
    log = torch.tensor([2.0, 3.0, 4.0]).log2()
    wanted = (2 / log[1] + 1 / log[2]) / (2 / log[0] + 1 / log[1])
    assert found["attacked_ndcg10"][0] == pytest.approx(wanted.item(), abs=1e-6)
    assert found["ndcg10"][1].isnan()


def test_a_target_at_rank_one_has_no_success(pairs: RankingBatch) -> None:
    """It cannot rise, so the figure does not apply (and the flag is 0); its share of the top 10 is still counted."""
    scores = torch.tensor([[1.0, 5.0, 0.0], [1.0, 0.0, 0.0]])
    answer = Ranking(scores, pairs.candidates, pairs.target, no_removals(pairs.candidates))
    found = RankingDomain().score(Trial(BM25(), pairs, pairs, answer, answer))
    assert found["rose"][0].isnan()
    assert found["rose"][1] == 0
    assert found["success"].tolist() == [0.0, 0.0]
    assert found["top10"].tolist() == [1.0, 1.0]


def test_naturalness_is_of_the_inserted_words(trial: Trial) -> None:
    """Four words beside six were inserted, all of the query; untouched examples have none to speak of."""
    found = RankingDomain().score(trial)
    assert found["perplexity"].tolist() == pytest.approx([4.0, 4.0])
    assert found["trigger_perplexity"][0] == pytest.approx(4.0)
    assert found["query_overlap"][0] == 1.0
    assert found["inserted_share"][0] == pytest.approx(4 / 6)
    for name in ("trigger_perplexity", "query_overlap", "inserted_share"):
        assert found[name][1].isnan()


def test_a_detector_is_read_per_list(pairs: RankingBatch) -> None:
    """AUC compares the target with its list's others; a victim without a detector has none."""
    plain = Ranking(torch.zeros(2, 3), pairs.candidates, pairs.target, no_removals(pairs.candidates))
    removed = no_removals(pairs.candidates)
    removed[0, 0] = True
    suspicious = plain._replace(removed=removed, suspicion=torch.tensor([[3.0, 2.0, 1.0], [1.0, 1.0, 0.0]]))
    found = RankingDomain().score(Trial(BM25(), pairs, pairs, suspicious, suspicious))
    assert found["auc"].tolist() == [0.5, 0.5]
    assert found["false_alarm"].tolist() == [0.5, 0.0]
    assert found["detected"].tolist() == [0.0, 0.0]
    none = RankingDomain().score(Trial(BM25(), pairs, pairs, plain, plain))
    assert none["auc"].isnan().all()


def test_rank_access_reveals_an_order_alone(trial: Trial) -> None:
    """Passage numbers, best first, and neither scores nor suspicion."""
    seen = RankingDomain().reveal(trial.output, "rank")
    assert isinstance(seen, RankedLists)
    assert seen._fields == ("order",)
    assert not seen.order.is_floating_point()
    assert seen.order[0, 0] == trial.clean.passage[0]


def test_score_access_hides_the_detector(trial: Trial) -> None:
    """Scores and removals are seen, suspicion is not."""
    watched = trial.output._replace(suspicion=torch.ones(2, 3))
    assert RankingDomain().reveal(watched, "score").suspicion is None


def test_a_decision_is_no_access(trial: Trial) -> None:
    """The domain says which accesses it has."""
    with pytest.raises(AccessError, match="'rank'"):
        RankingDomain().reveal(trial.output, "decision")


def test_a_query_is_a_cluster(pairs: RankingBatch) -> None:
    """Targets of one query are not independent."""
    assert list(RankingDomain().clusters(pairs.repeat(2))) == ["q1", "q1", "q2", "q2"]


def test_tokens_are_the_victims(pairs: RankingBatch) -> None:
    """Against a victim of its own vocabulary a word may cost more tokens."""
    from robeval.domains.ranking.victims.cross_encoder import CrossEncoder

    changed = pairs.with_texts([f"the {pairs.texts()[0]}", pairs.texts()[1]])
    coarse = RankingDomain().against(CrossEncoder(hidden=16, vocabulary=128))
    fine = RankingDomain()
    fine.reader = type("Letters", (), {"tokenizer": lambda self, corpus: corpus_tokenizer(corpus, 79)})()
    assert coarse.spent(pairs, changed)["tokens"].tolist() == [1.0, 0.0]
    assert fine.spent(pairs, changed)["tokens"].tolist() == [3.0, 0.0]


def test_the_picture_marks_what_was_inserted(trial: Trial) -> None:
    """Inserted words are red, the rest is not, and the ranks stand beside the query."""
    from matplotlib.offsetbox import TextArea

    figure = RankingDomain().picture(trial, "stuffing")
    axes = figure.axes[0]
    words = axes.findobj(TextArea)
    marked = [area.get_text() for area in words if area._text.get_color() == "#b3261e"]
    assert marked == ["red", "fox", "red", "fox"]
    assert axes.get_title("right") == "rank 3 → 1"
    assert axes.get_title("left") == "query: red fox"
    assert figure.axes[1].get_title("right") == "rank 2 → 2"
