"""The aggressive search: soft tokens by gradient, made hard from left to right."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval_attacks.ranking.beams import Beams, Extensions, Found, gathered, grow
from robeval_attacks.ranking.flips import Seen
from robeval_attacks.ranking.reader import Reader, full

STEP = 1e-3
HARD = 0.9
"""How much of a place the token of the last round keeps."""
ADAM = (0.9, 0.999, 1e-8)


@dataclass(frozen=True)
class Hardening:
    """Beam search over the likeliest tokens of every place; the places to the right stay soft."""

    reader: Reader
    logits: Float[Tensor, "batch length vocabulary"]
    candidates: int
    usable: Bool[Tensor, "batch vocabulary"]

    def extend(self, beams: Beams) -> Extensions:
        """The likeliest tokens of the next place, the same for every beam of an example."""
        logits = self.logits[:, beams.ids.shape[2]].masked_fill(~self.usable, -torch.inf)
        ids = logits.topk(min(self.candidates, logits.shape[1]), dim=1).indices
        allowed = self.usable.gather(1, ids)
        shape = (-1, beams.ids.shape[1], -1)
        wide = ids.unsqueeze(1).expand(shape)
        return Extensions(
            wide, torch.zeros_like(wide, dtype=torch.float32), allowed.unsqueeze(1).expand(shape)
        )

    def value(self, beams: Beams, extensions: Extensions) -> Float[Tensor, "batch beams candidates"]:
        """The score with the rest soft."""
        count, width, options = extensions.ids.shape
        prefix = beams.ids.unsqueeze(2).expand(-1, -1, options, -1)
        ids = torch.cat([prefix, extensions.ids.unsqueeze(3)], dim=3).flatten(0, 2)
        row = torch.arange(count, device=ids.device).repeat_interleave(width * options)
        if ids.shape[1] == self.logits.shape[1]:
            return self.reader.scores(row, ids).view(count, width, options)
        rest = softened(self.reader, self.logits[:, ids.shape[1] :], self.usable)
        with torch.no_grad():
            parts = [
                self.reader.soft_scores(r, torch.cat([self.reader.ranker.embed(full(hard)), rest[r]], dim=1))
                for r, hard in zip(torch.split(row, 2048), torch.split(ids, 2048), strict=True)
            ]
        return torch.cat(parts).view(count, width, options)

    def check(
        self, ids: Int64[Tensor, "batch beams length"], value: Float[Tensor, "batch beams"]
    ) -> Float[Tensor, "batch beams"]:
        """The ranker's score of the hard part alone."""
        row = torch.arange(ids.shape[0], device=ids.device).repeat_interleave(ids.shape[1])
        return self.reader.scores(row, ids.flatten(0, 1)).view(ids.shape[:2])


def softened(
    reader: Reader, logits: Float[Tensor, "batch length vocabulary"], usable: Bool[Tensor, "batch vocabulary"]
) -> Float[Tensor, "batch length hidden"]:
    """The mean vector of every place."""
    table = reader.ranker.word_vectors[: logits.shape[2]].detach()
    return logits.masked_fill(~usable.unsqueeze(1), -torch.inf).softmax(dim=2)[..., : len(table)] @ table


def aggressive(
    reader: Reader,
    rival: Float[Tensor, " batch"],
    usable: Bool[Tensor, "batch vocabulary"],
    length: int,
    rounds: int,
    gradient_steps: int,
    beams: int,
    candidates: int,
    seen: Seen,
) -> Found:
    """Rounds of gradient steps and hardening; each starts where the best of the last one was."""
    count, size = usable.shape
    logits = torch.zeros(count, length, size, device=rival.device)
    kept: list[tuple[Tensor, Tensor]] = []
    traces = []
    for _ in range(rounds):
        logits = _climbed(reader, rival, usable, logits, gradient_steps, seen)
        found = grow(Hardening(reader, logits, candidates, usable), count, length, beams, rival.device)
        whole = found.score.masked_fill(found.length < length, -torch.inf)
        best = found.ids.gather(1, whole.argmax(dim=1).view(-1, 1, 1).expand(-1, 1, length)).squeeze(1)
        kept += [
            (found.ids[:, :, :n], found.score.masked_fill(found.length != n, -torch.inf))
            for n in range(1, length + 1)
        ]
        traces.append(found.score.amax(dim=1))
        soft = torch.full_like(logits, (1 - HARD) / max(size - 1, 1))
        logits = soft.scatter_(2, best.unsqueeze(2), HARD).log()
    everything = gathered(kept, count, rival.device)
    best_so_far = torch.stack(traces, dim=1).cummax(dim=1).values.nan_to_num(neginf=0.0).sum(dim=0)
    return Found(everything.ids, everything.length, everything.score, best_so_far)


def _climbed(
    reader: Reader, rival: Tensor, usable: Tensor, logits: Tensor, steps: int, seen: Seen
) -> Float[Tensor, "batch length vocabulary"]:
    """Adam on the cross entropy of "relevant" and on what is missing to the best passage."""
    row = torch.arange(len(logits), device=logits.device)
    first, second = torch.zeros_like(logits), torch.zeros_like(logits)
    slow, fast, tiny = ADAM
    for step in range(1, steps + 1):
        logits = logits.detach().requires_grad_()
        score = reader.soft_scores(row, softened(reader, seen(logits, row), usable))
        loss = torch.nn.functional.softplus(-score) + (rival - score).clamp_min(0)
        (slope,) = torch.autograd.grad(loss.sum(), logits)
        first = slow * first + (1 - slow) * slope
        second = fast * second + (1 - fast) * slope**2
        size = (first / (1 - slow**step)) / ((second / (1 - fast**step)).sqrt() + tiny)
        logits = logits.detach() - STEP * size
    return logits.detach()
