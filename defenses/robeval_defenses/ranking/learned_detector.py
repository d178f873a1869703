"""A classifier that was shown attacked passages."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.framing import framed_single
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.text import inserted
from robeval.domains.ranking.tokens import Tokenizer, Tokens, bert_template, corpus_tokenizer
from robeval.domains.ranking.victims.base import start_as_similarity
from robeval.domains.ranking.word_vectors import counted_vectors
from robeval.errors import DataError
from robeval.plugins.contracts import Defense, GradientPath
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.ranking.around import ranker
from robeval_defenses.ranking.filtered import FalseAlarms, FilteredRanker
from robeval_defenses.ranking.triggers import KINDS, TriggerKind, triggers

HIDDEN, MAX_LENGTH, ROWS = 64, 96, 32
LEARNING_RATE = 2e-3
EXAMPLES = 512
"""Training pairs whose passages carry triggers, at most."""
PLACES = ("front", "middle", "end")

LeftOut = Literal["nothing", "query", "random", "fluent", "gradient"]


@dataclass(frozen=True)
class LearnedDetector(Defense):
    """Throw out what a classifier takes for attacked: a small BERT over passages, trained on the defender's triggers.

    Triggers are of four kinds (the query's words, random words, fluent ones, first-order ones against the victim) at
    the front, in the middle or at the end. With `leave_out` the detector never saw one kind: run it against the
    attacks of that kind for a leave-one-attack-out figure. It reads the passage and not the query: with the query it
    would learn relevance.

    Source: supervised detection, Chen et al., "Defense of Adversarial Ranking Attack in Text Retrieval: Benchmark and
    Baseline for Detection", arXiv:2307.16816.
    Differs: trained on the defender's own triggers, not on the attacks that it is judged by; a small encoder with the
    collection's vocabulary. Learns from half of the passages, so that the threshold is not set on what it learnt only.
    Against a victim without gradients there are no first-order triggers.
    """

    gradient: ClassVar[GradientPath] = "straight-through"

    false_alarms: FalseAlarms = 0.05
    leave_out: Annotated[LeftOut, Field(description="kind of trigger that the detector never sees")] = (
        "nothing"
    )
    steps: Annotated[int, Field(ge=1, description="training steps of the classifier")] = 80

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the trained and calibrated classifier."""
        batch = data.split("train")
        assert isinstance(batch, RankingBatch)
        clean, attacked = self._shown(victim, batch, seed.child("triggers"))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed.child("weights").integer())  # the layers of transformers know no generator
            classifier = Classifier(batch.corpus)
        device = next(victim.parameters(), batch.query).device
        _train(classifier.to(device), clean, attacked, self.steps, seed.child("steps").generator())
        filtered = Detected(victim, classifier)
        filtered.calibrate(data, self.false_alarms)
        return filtered

    def _shown(self, victim: nn.Module, batch: RankingBatch, seed: Seed) -> tuple[list[str], list[str]]:
        """Passages of one half of the collection, clean and with triggers."""
        corpus = batch.corpus
        learnt = torch.randperm(len(corpus.passages), generator=seed.child("half").generator())
        is_learnt = torch.zeros(len(corpus.passages), dtype=torch.bool)
        is_learnt[learnt[: (len(learnt) + 1) // 2]] = True
        row, passage = _rows(batch, is_learnt, seed.child("rows"))
        if not len(row):
            raise DataError("the learned detector needs training queries with candidates, and there are none")
        chosen = batch.select(row)
        texts = [corpus.passages[number] for number in passage.tolist()]
        return texts, self._attacked(victim, chosen, texts, seed.child("made"))

    def _attacked(
        self, victim: nn.Module, batch: RankingBatch, texts: Sequence[str], seed: Seed
    ) -> list[str]:
        """Each text with a trigger of one of the kinds, in turn, at one of the places."""
        neural = victim if isinstance(ranker(victim), NeuralRanker) else None
        kinds: list[TriggerKind] = [
            kind
            for kind in KINDS
            if kind != self.leave_out and (kind != "gradient" or isinstance(neural, NeuralRanker))
        ]
        ids = [f"{number}" for number in range(len(texts))]
        draw = seed.draws(ids)
        kind_of, place_of = draw.integers(len(kinds)), draw.integers(len(PLACES))
        made = list(texts)
        for number, kind in enumerate(kinds):
            for where, place in enumerate(PLACES):
                rows = ((kind_of == number) & (place_of == where)).nonzero().squeeze(1)
                if not len(rows):
                    continue
                some = [texts[row] for row in rows.tolist()]
                device = next(victim.parameters(), batch.query).device
                query = batch.query[rows.to(batch.query.device)].to(device)
                found = triggers(
                    kind,
                    neural if isinstance(neural, NeuralRanker) else None,
                    batch,
                    query,
                    some,
                    draw.fork(kind).select(rows),
                )
                for row, text in zip(rows.tolist(), inserted(some, found, place), strict=True):
                    made[row] = text
        return made


def _rows(
    batch: RankingBatch, learnt: Tensor, seed: Seed
) -> tuple[Int64[Tensor, " rows"], Int64[Tensor, " rows"]]:
    """Up to `EXAMPLES` pairs of an example and one of its candidates from the learnt half."""
    listed = batch.candidates.cpu()
    usable = (listed >= 0) & learnt[listed.clamp_min(0)]
    row, place = usable.nonzero(as_tuple=True)
    some = torch.randperm(len(row), generator=seed.generator())[:EXAMPLES]
    return row[some], listed[row[some], place[some]]


class Classifier(nn.Module):
    """A BERT of one layer over [CLS] passage [SEP]; the log-odds that the passage was attacked."""

    def __init__(self, corpus: Corpus) -> None:
        from transformers import BertConfig, BertForSequenceClassification

        super().__init__()
        self.tokenizer: Tokenizer = corpus_tokenizer(corpus)
        config = BertConfig(
            vocab_size=self.tokenizer.size,
            hidden_size=HIDDEN,
            num_hidden_layers=1,
            num_attention_heads=4,
            intermediate_size=2 * HIDDEN,
            max_position_embeddings=MAX_LENGTH,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        self.encoder = BertForSequenceClassification(config)
        start_as_similarity(self.encoder)
        start = counted_vectors(corpus, self.tokenizer, HIDDEN)
        with torch.no_grad():
            known = start.norm(dim=1) > 0
            self.word_vectors[known] = start[known]

    @property
    def word_vectors(self) -> Float[Tensor, "vocabulary hidden"]:
        """BERT's word embeddings."""
        weight: Tensor = self.encoder.bert.embeddings.word_embeddings.weight
        return weight

    def forward(self, passage: Tokens) -> Float[Tensor, " rows"]:
        """For token rows, cut to what fits."""
        passage = passage.cut(MAX_LENGTH - 2)
        return self.from_embeddings(nn.functional.embedding(passage.ids, self.word_vectors), passage.mask)

    def from_embeddings(
        self, vectors: Float[Tensor, "rows length hidden"], mask: Bool[Tensor, "rows length"]
    ) -> Float[Tensor, " rows"]:
        """For passages given as word vectors, differentiable."""
        given = framed_single(bert_template(), self.word_vectors, vectors, mask)
        logits: Tensor = self.encoder(
            inputs_embeds=given.vectors, attention_mask=given.mask, token_type_ids=given.segments
        ).logits
        return logits[:, 1] - logits[:, 0]


class Detected(FilteredRanker):
    """A ranker behind a classifier's threshold."""

    def __init__(self, victim: nn.Module, classifier: Classifier) -> None:
        super().__init__(victim)
        self.classifier = classifier.eval().requires_grad_(False)

    def suspicion(
        self, corpus: Corpus, query: Int64[Tensor, " rows"], texts: Sequence[str]
    ) -> Float[Tensor, " rows"]:
        """The log-odds that a text was attacked."""
        tokens = self.classifier.tokenizer.encode(texts).to(self.classifier.word_vectors.device)
        rows = torch.arange(len(texts), device=tokens.ids.device)
        found = [self.classifier(tokens.select(part)) for part in torch.split(rows, 256)]
        return torch.cat(found).float() if found else torch.zeros(0)


def _train(
    classifier: Classifier, clean: Sequence[str], attacked: Sequence[str], steps: int, random: torch.Generator
) -> None:
    """Logistic regression on half clean, half attacked passages, in place."""
    read = classifier.tokenizer.encode([*clean, *attacked]).to(classifier.word_vectors.device)
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    sign = torch.cat([-torch.ones(ROWS), torch.ones(ROWS)]).to(read.ids.device)
    classifier.train()
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(len(clean), (2 * ROWS,), generator=random)
            rows[ROWS:] += len(clean)
            odds = classifier(read.select(rows.to(read.ids.device)))
            optimizer.zero_grad()
            loss: Tensor = nn.functional.softplus(-sign * odds).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
            optimizer.step()
            schedule.step()
