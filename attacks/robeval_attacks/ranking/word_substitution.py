"""Word substitution: replace the words that the ranker listens to by neighbours that it likes better."""

import re
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from robeval.domains.ranking.batch import RankingBatch
from robeval.domains.ranking.ranker import NeuralRanker
from robeval.domains.ranking.text import substituted, words_of
from robeval.domains.ranking.tokens import Tokenizer, Tokens
from robeval.plugins.threat import Budget, ThreatModel
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.ranking.anchored import anchors_of, asked_lists
from robeval_attacks.ranking.knowledge import Searching
from robeval_attacks.ranking.synonyms import neighbours

_CORE = re.compile(r"^(\W*)(\w+)(\W*)$")


class Places(NamedTuple):
    """Words that may be replaced, [batch, words] each: number in the text, place among the tokens, which are there."""

    word: Tensor
    token: Tensor
    there: Tensor


@dataclass(frozen=True)
class WordSubstitution(Searching):
    """The words with the largest gradient are replaced, one by one, where a neighbour raises the score.

    A few projected gradient steps move the word vectors of these words; the neighbour nearest to the moved vector is
    tried, and kept if the ranker scores the passage higher.

    Source: Wu et al., "PRADA", arXiv:2204.01321; its steps as in the generator script of PIAT's repository.
    Differs: neighbours by cosine of vectors counted from the passages, or from a file (counter-fitted vectors there);
    words of several pieces are left alone; the radius is a share of the vectors' mean length (45 for BERT's there);
    a replacement is judged by the score, which for one passage against fixed others is the rank.
    """

    threat = ThreatModel(
        access="rank",
        budget=Budget("words", "words", 20.0, "words of the passage that are replaced"),
        constraints=("substitution_only",),
        goal="raise the target passage's rank",
    )
    counts = "words"

    words: Annotated[int, Field(ge=1, description="words replaced at most; the budget may allow fewer")] = 64
    neighbours: Annotated[int, Field(ge=1, description="substitutes of a word")] = 40
    cosine: Annotated[float, Field(ge=0, le=1, description="least similarity of a substitute")] = 0.5
    gradient_steps: Annotated[int, Field(ge=1, description="steps that move the word vectors")] = 3
    radius: Annotated[
        float, Field(gt=0, description="how far a vector is moved, in mean lengths of a word vector")
    ] = 1.0
    synonyms: Annotated[
        str | None, Field(description="file of substitutes: word<TAB>substitute,substitute per line")
    ] = None

    def perturb(
        self, view: View[RankingBatch], batch: RankingBatch, budget: float, draw: Draws
    ) -> RankingBatch:
        """The passages with words replaced."""
        steps = min(self.words, int(budget))
        if steps < 1:
            return batch
        ranker = self.ranker(view)
        tokenizer, device = ranker.tokenizer(batch.corpus), batch.query.device
        tokens = tokenizer.encode(batch.texts())
        places = replaceable(tokenizer, batch, tokens)
        view.note("no_replaceable_word", batch, ~places.there.any(dim=1))
        tokens, places = tokens.to(device), Places(*(part.to(device) for part in places))
        table = neighbours(batch.corpus, tokenizer, self.neighbours, self.cosine, self.synonyms)
        moved, weight = self._moved(view, batch, ranker, tokens)
        ids, trace = self._replaced(ranker, batch, tokens, places, table, moved, weight, steps)
        view.trace(trace)
        made = batch.with_texts(_written(tokenizer, batch, tokens, places, ids))
        return self.measured(view, ranker, batch, made)

    def _moved(
        self, view: View[RankingBatch], batch: RankingBatch, ranker: NeuralRanker, tokens: Tokens
    ) -> tuple[Float[Tensor, "batch length hidden"], Float[Tensor, "batch length"]]:
        """Word vectors after the steps, and how much the first gradient wanted to move each."""
        query = ranker.query_tokens(batch.corpus, batch.query)
        best = anchors_of(batch, asked_lists(view, batch), 1)
        with torch.no_grad():
            rival = ranker.token_scores(query, ranker.text_tokens(batch.corpus, best)).float()
        fitting = tokens.cut(max(ranker.room(query), 0))
        clean = ranker.embed(fitting).detach()
        limit = self.radius * ranker.word_vectors.detach().norm(dim=1).mean()
        moved, weight = clean, torch.zeros_like(tokens.mask, dtype=clean.dtype)
        for step in range(self.gradient_steps):
            moved = moved.detach().requires_grad_()
            seen = self.watched(view, moved, batch)
            margin = ranker.relevance_from_embeddings(query, seen, fitting.mask) - rival
            # The hinge of the pairwise loss; its slope vanishes only where the target beats the best by a margin.
            (slope,) = torch.autograd.grad((1 - margin).clamp_min(0).sum(), moved)
            if step == 0:
                weight[:, : fitting.ids.shape[1]] = slope.norm(dim=2)
            length = slope.norm(dim=2, keepdim=True).clamp_min(1e-12)
            away = moved.detach() - limit / self.gradient_steps * slope / length - clean
            moved = clean + away * (limit / away.norm(dim=2, keepdim=True).clamp_min(1e-12)).clamp_max(1.0)
        whole = ranker.embed(tokens).detach()
        whole[:, : moved.shape[1]] = moved.detach()
        return whole, weight

    def _replaced(
        self,
        ranker: NeuralRanker,
        batch: RankingBatch,
        tokens: Tokens,
        places: Places,
        table: tuple[Int64[Tensor, "vocabulary most"], Bool[Tensor, "vocabulary most"]],
        moved: Float[Tensor, "batch length hidden"],
        weight: Float[Tensor, "batch length"],
        steps: int,
    ) -> tuple[Int64[Tensor, "batch length"], Float[Tensor, " steps"]]:
        """The passages' tokens after trying one substitute for each of the `steps` weightiest words."""
        if not places.token.shape[1]:
            return tokens.ids, torch.zeros(0)
        query = ranker.query_tokens(batch.corpus, batch.query)
        wish = weight.gather(1, places.token).masked_fill(~places.there, -1.0)
        order = wish.argsort(dim=1, descending=True, stable=True)[:, :steps]
        row = torch.arange(len(batch), device=order.device)
        ids = tokens.ids.clone()
        with torch.no_grad():
            score = ranker.token_scores(query, tokens)
            trace = [score.sum()]
            for column in order.unbind(dim=1):
                place = places.token[row, column]
                substitute, exists = _nearest(ranker, table, ids[row, place], moved[row, place])
                tried = ids.index_put((row, place), substitute)
                value = ranker.token_scores(query, Tokens(tried, tokens.mask))
                better = (value > score) & exists & (wish[row, column] > 0)
                ids, score = torch.where(better.unsqueeze(1), tried, ids), torch.where(better, value, score)
                trace.append(score.sum())
        return ids, torch.stack(trace)


def _nearest(
    ranker: NeuralRanker,
    table: tuple[Tensor, Tensor],
    word: Int64[Tensor, " batch"],
    wish: Float[Tensor, "batch hidden"],
) -> tuple[Int64[Tensor, " batch"], Bool[Tensor, " batch"]]:
    """The substitute nearest to the wished vector, and whether there is one."""
    options, usable = (part.to(word.device)[word] for part in table)
    vectors = torch.nn.functional.embedding(options, ranker.word_vectors)
    distance = (vectors - wish.unsqueeze(1)).norm(dim=2).masked_fill(~usable, torch.inf)
    return options.gather(1, distance.argmin(dim=1, keepdim=True)).squeeze(1), usable.any(dim=1)


def replaceable(tokenizer: Tokenizer, batch: RankingBatch, tokens: Tokens) -> Places:
    """Words that are one piece of the vocabulary, punctuation around them apart.

    Texts that do not fall into the tokens of their words one after the other have none.
    """
    texts = [words_of(text) for text in batch.texts()]
    flat = tokenizer.encode([word for words in texts for word in words])
    lengths, first = flat.mask.sum(dim=1).tolist(), iter(range(len(flat.mask)))
    rows: list[list[tuple[int, int]]] = []
    for number, words in enumerate(texts):
        start, found, spelled = 0, [], []
        for place, word in enumerate(words):
            entry = next(first)
            pieces = flat.ids[entry, : lengths[entry]].tolist()
            core = _CORE.match(word)
            if core:
                # Signs before the word are pieces of their own.
                offset = len(core[1])
                inside = pieces[offset] if offset < len(pieces) else -1
                if inside >= 0 and tokenizer.is_word[inside] and tokenizer.pieces[inside] == core[2].lower():
                    found.append((place, start + offset))
            start += lengths[entry]
            spelled += pieces
        same = spelled == tokens.ids[number][tokens.mask[number]].tolist()
        rows.append(found if same else [])
    width = max(map(len, rows), default=0)
    table = torch.zeros(len(rows), width, 2, dtype=torch.long)
    there = torch.arange(width) < torch.tensor([len(row) for row in rows]).unsqueeze(1)
    table[there] = torch.tensor([pair for row in rows for pair in row], dtype=torch.long).view(-1, 2)
    return Places(table[..., 0], table[..., 1], there)


def _written(
    tokenizer: Tokenizer, batch: RankingBatch, tokens: Tokens, places: Places, ids: Tensor
) -> list[str]:
    """The texts with the replaced words spelled out, punctuation and capitals at their beginning kept."""
    changed = (ids != tokens.ids).gather(1, places.token) & places.there
    pieces = tokenizer.pieces
    texts = []
    for row, text in enumerate(batch.texts()):
        words, changes = words_of(text), {}
        for column in changed[row].nonzero().squeeze(1).tolist():
            number, token = int(places.word[row, column]), int(places.token[row, column])
            core = _CORE.match(words[number])
            assert core is not None
            new = pieces[int(ids[row, token])]
            changes[number] = core[1] + (new.capitalize() if core[2][0].isupper() else new) + core[3]
        texts.append(substituted(text, changes))
    width = batch.text.shape[1]
    return [new if len(new.encode()) <= width else old for new, old in zip(texts, batch.texts(), strict=True)]
