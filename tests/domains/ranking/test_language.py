"""The corpus's language model and its next-sentence model, briefly trained."""

import pytest
import torch

from robeval.domains.ranking import language, next_sentence
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.language import language_model
from robeval.domains.ranking.next_sentence import next_sentence_model
from robeval.domains.ranking.tokens import Tokenizer, corpus_tokenizer

TEXT = "one two three four five . six seven eight nine ten ."
OTHER = "red blue green brown black . white pink grey gold lime ."


@pytest.fixture
def counted(monkeypatch) -> Corpus:
    """A corpus of two texts over and over, and short trainings."""
    monkeypatch.setattr(language, "STEPS", 60)
    monkeypatch.setattr(next_sentence, "STEPS", 60)
    passages = (TEXT, OTHER) * 8
    return Corpus(("q",), ("one",), tuple(map(str, range(16))), passages)


def test_known_text_is_likely_and_shuffled_text_is_not(counted: Corpus) -> None:
    """The order of words matters by more than a factor of twenty."""
    model = language_model(counted)
    plain, shuffled = model.texts_perplexity([TEXT, "ten one . three eight two . six five nine four seven"])
    assert plain < 2
    assert shuffled > 20 * plain


def test_next_probabilities_are_the_texts(counted: Corpus) -> None:
    """What `next_log_probs` gives a token is what `log_probs` gives it; all sum to one; length 0 is allowed."""
    model = language_model(counted)
    tokens = model.tokenizer.encode([TEXT])
    for place in (0, 1, 5):
        found = model.next_log_probs(tokens.ids[:, :place])
        assert found.shape == (1, model.tokenizer.size)
        assert found[0, tokens.ids[0, place]] == pytest.approx(
            model.log_probs(tokens)[0, place].item(), abs=1e-5
        )
        assert found.exp().sum().item() <= 1 + 1e-5
    assert model.tokenizer.pieces[int(model.next_log_probs(tokens.ids[:, :1]).argmax())] == "two"


def test_padding_and_short_texts(counted: Corpus) -> None:
    """A row has its perplexity whatever its neighbours' length; below two tokens there is none."""
    model = language_model(counted)
    assert model.texts_perplexity(["", "one"]).isnan().all()
    alone, beside = model.texts_perplexity(["one two"]), model.texts_perplexity(["one two", TEXT])
    assert alone[0].item() == pytest.approx(beside[0].item(), rel=1e-4)


def test_a_window_finds_what_the_mean_hides(counted: Corpus) -> None:
    """A few strange words raise the largest window's perplexity more than the whole text's."""
    model = language_model(counted)
    tokens = model.tokenizer.encode([f"{TEXT} lime ten pink {TEXT}"])
    assert model.window_perplexity(tokens, 3)[0] > 5 * model.perplexity(tokens)[0]
    short = model.tokenizer.encode(["one two"])
    assert torch.equal(model.window_perplexity(short, 12), model.perplexity(short))


def test_models_are_made_once_and_by_seed(counted: Corpus) -> None:
    """One model per tokenizer and seed; the same seed trains the same weights, and torch's state is left alone."""
    state = torch.random.get_rng_state()
    first, other = language_model(counted), language_model(counted, seed=1)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert language_model(counted) is first
    assert not torch.equal(first.bias, other.bias)
    copy = Corpus(counted.query_ids, counted.queries, counted.passage_ids, counted.passages)
    assert torch.equal(language_model(copy).bias, first.bias)


def test_any_tokenizer_will_do(counted: Corpus) -> None:
    """Pieces that the corpus does not have get the floor."""
    strange = Tokenizer(corpus_tokenizer(counted, 79).backend)
    model = language_model(counted, strange)
    unused = model.tokenizer.pieces.index("7")
    assert model.next_log_probs(torch.zeros(1, 0, dtype=torch.long))[0, unused] == language.FLOOR


def test_what_follows_is_told_from_what_does_not(counted: Corpus) -> None:
    """The next sentence of the same text is more likely to follow than another text's."""
    model = next_sentence_model(counted)
    first = model.tokenizer.encode(["one two three four five ."] * 2)
    second = model.tokenizer.encode(["six seven eight nine ten .", "white pink grey gold lime ."])
    with torch.no_grad():
        answer = model(first, second)
    assert answer.follows[0] > answer.follows[1]
    assert torch.allclose(answer.follows.exp() + answer.does_not.exp(), torch.ones(2))
