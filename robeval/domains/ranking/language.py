"""A small language model of a corpus: how likely a text is, and which token comes next."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from robeval.domains.ranking.corpus import Corpus
from robeval.domains.ranking.tokens import Tokenizer, Tokens, corpus_tokenizer

JUDGE = 1
"""The seed of the model that measures and filters; attackers have another one (seed 0)."""

HIDDEN, STEPS, ROWS, WINDOW = 96, 150, 64, 24
LEARNING_RATE = 1e-2
FLOOR = -20.0
"""Log-probability of a piece that the corpus does not have."""


class LanguageModel(nn.Module):
    """Causal, recurrent, over the pieces of `tokenizer` that occur in the corpus; the rest get a floor.

    A row begins with a start sign of the model's own, so the first token has a probability too.
    """

    pieces: Tensor
    number: Tensor

    def __init__(self, tokenizer: Tokenizer, pieces: Int64[Tensor, " known"], hidden: int = HIDDEN) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        known = len(pieces) + 2  # an unknown piece and the start sign
        self.register_buffer("pieces", pieces)
        number = torch.full((tokenizer.size,), len(pieces))
        number[pieces] = torch.arange(len(pieces))
        self.register_buffer("number", number)
        self.start = known - 1
        self.embedding = nn.Embedding(known, hidden)
        nn.init.normal_(self.embedding.weight, std=hidden**-0.5)
        self.recurrent = nn.GRU(hidden, hidden, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(known))

    def next_log_probs(self, ids: Int64[Tensor, "rows length"]) -> Float[Tensor, "rows vocabulary"]:
        """Log-probability of every piece of the tokenizer behind these tokens; length 0 asks for the first."""
        states = self._states(ids)[:, -1]
        found = (states @ self.embedding.weight.T + self.bias).log_softmax(dim=1)
        table = torch.full((len(ids), self.tokenizer.size), FLOOR, device=found.device)
        table[:, self.pieces] = found[:, : len(self.pieces)]
        return table

    def log_probs(self, tokens: Tokens) -> Float[Tensor, "rows length"]:
        """Log-probability of every token given those before it; 0 on padding."""
        states = self._states(tokens.ids)[:, :-1]
        wanted = self.number[tokens.ids]
        parts = [
            (part @ self.embedding.weight.T + self.bias).log_softmax(dim=-1).gather(-1, want.unsqueeze(-1))
            for part, want in zip(torch.split(states, 64), torch.split(wanted, 64), strict=True)
        ]
        found = torch.cat(parts).squeeze(-1) if parts else states.sum(dim=-1)
        return found.masked_fill(wanted == len(self.pieces), FLOOR).masked_fill(~tokens.mask, 0.0)

    def perplexity(self, tokens: Tokens) -> Float[Tensor, " rows"]:
        """exp of the mean negative log-probability; NaN under two tokens."""
        count = tokens.mask.sum(dim=1)
        mean = self.log_probs(tokens).sum(dim=1) / count.clamp_min(1)
        return torch.where(count < 2, torch.nan, (-mean).exp())

    def window_perplexity(self, tokens: Tokens, window: int = 12) -> Float[Tensor, " rows"]:
        """The largest perplexity of any `window` tokens in a row, in their context; of all where there are fewer."""
        log_p = self.log_probs(tokens)
        if log_p.shape[1] <= window:
            return self.perplexity(tokens)
        mean = log_p.unfold(1, window, 1).mean(dim=2)
        inside = tokens.mask[:, window - 1 :]
        worst = torch.where(inside, -mean, -torch.inf).amax(dim=1).exp()
        return torch.where(inside.any(dim=1), worst, self.perplexity(tokens))

    def texts_perplexity(self, texts: Sequence[str]) -> Float[Tensor, " rows"]:
        """`perplexity` of texts."""
        return self.perplexity(self.tokenizer.encode(texts).to(self.bias.device))

    def _states(self, ids: Tensor) -> Float[Tensor, "rows longer hidden"]:
        first = torch.full((len(ids), 1), self.start, device=ids.device)
        # A cuDNN RNN refuses to go backward in evaluation mode; elsewhere this changes nothing.
        with torch.backends.cudnn.flags(enabled=False):
            states: Tensor = self.recurrent(self.embedding(torch.cat([first, self.number[ids]], dim=1)))[0]
        return states

    def forward(self, tokens: Tokens) -> Float[Tensor, " rows"]:
        """The mean negative log-probability of each row: the training loss."""
        return -self.log_probs(tokens).sum(dim=1) / tokens.mask.sum(dim=1).clamp_min(1)


def language_model(corpus: Corpus, tokenizer: Tokenizer | None = None, seed: int = 0) -> LanguageModel:
    """The model of a corpus's passages, trained in seconds the first time and kept with the corpus. Frozen.

    `tokenizer` is the corpus's own unless given; any will do. Attacks take seed 0, filters and metrics `JUDGE`.
    """
    reader = tokenizer or corpus_tokenizer(corpus)
    return corpus.shared(("language model", reader.digest, seed), lambda: _trained(corpus, reader, seed))


def _trained(corpus: Corpus, tokenizer: Tokenizer, seed: int) -> LanguageModel:
    generator = torch.Generator().manual_seed(seed)
    passages = tokenizer.encode(corpus.passages)
    pieces = torch.unique(passages.ids[passages.mask])
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # small steps: a second thread gains nothing and waits on a busy machine
    try:
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            model = LanguageModel(tokenizer, pieces)
            optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
            schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
            for _ in range(STEPS):
                optimizer.zero_grad()
                model(_windows(passages, generator)).mean().backward()
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                schedule.step()
    finally:
        torch.set_num_threads(threads)
    return model.eval().requires_grad_(False)


def _windows(passages: Tokens, generator: torch.Generator) -> Tokens:
    """Some passages, each from a random place on."""
    rows = torch.randint(len(passages.ids), (ROWS,), generator=generator)
    length = passages.mask[rows].sum(dim=1)
    latest = (length - WINDOW).clamp_min(0)
    start = (torch.rand(ROWS, generator=generator) * (latest + 1)).long()
    # Half of the windows begin where the passage does: a trigger is often a beginning.
    start = torch.where(torch.rand(ROWS, generator=generator) < 0.5, 0, start)
    place = start.unsqueeze(1) + torch.arange(WINDOW)
    inside = place < length.unsqueeze(1)
    ids = passages.ids[rows].gather(1, place.clamp_max(passages.ids.shape[1] - 1))
    return Tokens(ids, inside)
