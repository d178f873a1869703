"""A small model of which sentence follows which: the coherence term of trigger attacks, and a filter."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.framing import framed_pair
from robeval.domains.ranking.text import boundaries
from robeval.domains.ranking.tokens import Tokenizer, Tokens, corpus_tokenizer
from robeval.domains.ranking.victims.base import start_as_similarity
from robeval.domains.ranking.word_vectors import counted_vectors

STEPS, ROWS, LENGTH, HIDDEN = 200, 32, 24, 64
LEARNING_RATE = 2e-3
MAX_LENGTH = 96


class Following(NamedTuple):
    """Log-probabilities that the second text follows the first, and that it does not: [rows] each."""

    follows: Tensor
    does_not: Tensor


class NextSentenceModel(nn.Module):
    """A BERT of one layer over both texts, read at the first; the first is cut before the second."""

    def __init__(self, tokenizer: Tokenizer, start: Float[Tensor, "vocabulary hidden"] | None = None) -> None:
        from transformers import BertConfig, BertModel

        super().__init__()
        self.tokenizer = tokenizer
        config = BertConfig(
            vocab_size=tokenizer.size,
            hidden_size=HIDDEN,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=2 * HIDDEN,
            max_position_embeddings=MAX_LENGTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder = BertModel(config, add_pooling_layer=False)
        self.head = nn.Sequential(nn.Linear(HIDDEN, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 2))
        start_as_similarity(self.encoder)
        if start is not None:
            with torch.no_grad():
                known = start.norm(dim=1) > 0
                self.word_vectors[known] = start[known]

    @property
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """BERT's word embeddings."""
        weight: Tensor = self.encoder.embeddings.word_embeddings.weight
        return weight

    def forward(self, first: Tokens, second: Tokens) -> Following:
        """For token rows."""
        return self.from_embeddings(
            first, nn.functional.embedding(second.ids, self.word_vectors), second.mask
        )

    def from_embeddings(self, first: Tokens, vectors: Tensor, mask: Tensor) -> Following:
        """For a second text given as word vectors [rows, length, hidden], differentiable."""
        room = MAX_LENGTH - self.tokenizer.template.length
        vectors, mask = vectors[:, : room // 2], mask[:, : room // 2]
        given = framed_pair(
            self.tokenizer.template, self.word_vectors, first.cut(room - vectors.shape[1]), vectors, mask
        )
        states = self.encoder(
            inputs_embeds=given.vectors, attention_mask=given.mask, token_type_ids=given.segments
        ).last_hidden_state
        read = (given.mask * (given.segments == 0)).unsqueeze(-1).to(states.dtype)
        logits = self.head((states * read).sum(dim=1) / read.sum(dim=1)).log_softmax(dim=1)
        return Following(logits[:, 0], logits[:, 1])


def next_sentence_model(
    corpus: Corpus, tokenizer: Tokenizer | None = None, seed: int = 0
) -> NextSentenceModel:
    """The model of a corpus's passages, trained in seconds the first time and kept with the corpus. Frozen.

    Positives are neighbouring sentences of a passage (its halves where it has one), negatives the same with another
    passage's second part.
    """
    reader = tokenizer or corpus_tokenizer(corpus)
    return corpus.shared(("next sentence", reader.digest, seed), lambda: _trained(corpus, reader, seed))


def _trained(corpus: Corpus, tokenizer: Tokenizer, seed: int) -> NextSentenceModel:
    first, second = _neighbours(corpus, tokenizer)
    generator = torch.Generator().manual_seed(seed)
    own_vocabulary = tokenizer.digest == corpus_tokenizer(corpus).digest
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small steps: a second thread gains nothing and waits on a busy machine
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            start = counted_vectors(corpus, tokenizer, HIDDEN) if own_vocabulary else None
            model = NextSentenceModel(tokenizer, start)
            optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
            for _ in range(STEPS):
                rows = torch.randint(len(first.ids), (ROWS,), generator=generator)
                follows = torch.rand(ROWS, generator=generator) < 0.5
                other = torch.randint(len(first.ids), (ROWS,), generator=generator)
                answer = model(first.select(rows), second.select(torch.where(follows, rows, other)))
                optimizer.zero_grad()
                loss: Tensor = -torch.where(follows, answer.follows, answer.does_not).mean()
                loss.backward()  # type: ignore[no-untyped-call]
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
    finally:
        torch.set_num_threads(threads)
    return model.eval().requires_grad_(False)


def _neighbours(corpus: Corpus, tokenizer: Tokenizer) -> tuple[Tokens, Tokens]:
    """A sentence of each passage and the next one, cut to a few tokens."""
    pairs = [pair for text in corpus.passages if (pair := _halves(text))]
    firsts, seconds = ([pair[side] for pair in pairs] for side in (0, 1))
    return tokenizer.encode(firsts).cut(LENGTH), tokenizer.encode(seconds).cut(LENGTH)


def _halves(text: str) -> tuple[str, str] | None:
    """The two sentences around the boundary nearest to the middle; halves of the words where there is one sentence."""
    starts = boundaries(text)
    if len(starts) > 2:
        middle = min(range(1, len(starts) - 1), key=lambda i: abs(starts[i] - len(text) / 2))
        return text[starts[middle - 1] : starts[middle]], text[starts[middle] : starts[middle + 1]]
    words = text.split()
    half = len(words) // 2
    return (" ".join(words[:half]), " ".join(words[half:])) if half else None
