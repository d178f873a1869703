"""What can be proven about the mean score of randomly changed copies of a passage.

All scores are in [0, 1]. Copies of two passages can be drawn together so that they are equal except with probability
`shift`; so the means over infinitely many copies differ by at most `shift` (`is_certified`, as published), and the mean
over m copies that is really answered by at most the share of unequal ones among m (`largest_answer`).

Source: Wu et al., "Certified Robustness to Word Substitution Ranking Attack for Neural Ranking Models",
arXiv:2209.06691; masking: "RobustMask", arXiv:2512.23307.
Differs: overlaps of sets of different size are divided by the larger one; the top-k condition keeps each outsider's
score with its own shift; the published masking bound counts the mask probability twice and is unsound, so the plain
total variation stands for it; `largest_answer` is ours.
"""

import math

import torch
from jaxtyping import Bool, Float, Int64
from scipy.stats import binom
from torch import Tensor

RISK = 0.05


def estimation_error(copies: int, risk: float = RISK, *, sides: int = 2) -> float:
    """How far the mean of so many copies can be from the true mean, except with probability `risk`."""
    return math.sqrt(math.log(sides / risk) / (2 * copies))


def epsilon(copies: int, risk: float = RISK) -> float:
    """The published allowance for two estimated scores: twice the estimation error."""
    return 2 * estimation_error(copies, risk)


def substitution_shift(
    overlap: Float[Tensor, "rows words"], edits: int | None = None
) -> Float[Tensor, " rows"]:
    """1 - the product of the smallest `edits` overlaps of each row (of all of them without a limit).

    `overlap` is, per word, the least probability that a copy of the word and a copy of a neighbour can be made equal;
    1 for words without neighbours and for padding.
    """
    least = overlap.double().sort(dim=1).values
    if edits is not None:
        least = least[:, :edits]
    return 1 - least.prod(dim=1)


def masking_shift(
    words: Int64[Tensor, " rows"], kept: Int64[Tensor, " rows"], edits: int
) -> Float[Tensor, " rows"]:
    """The chance that a copy keeping `kept` of `words` words shows one of `edits` replaced ones: 1 - C(T-R,k)/C(T,k).

    1 where there are no more words than edits.
    """
    total, shown = words.double(), kept.double()
    hidden = torch.ones_like(total)
    for number in range(edits):
        # The next replaced word is among the masked ones, given that those before it are.
        left = total - number
        hidden = hidden * ((left - shown) / left.clamp_min(1.0)).clamp(0.0, 1.0)
    return torch.where(words > 0, 1 - hidden, torch.zeros_like(total))


def largest_answer(
    values: Float[Tensor, "rows copies"], samples: int, shift: Float[Tensor, " rows"], risk: float
) -> Float[Tensor, " rows"]:
    """What the mean over `samples` fresh copies of any text within the radius does not exceed, but with `risk`.

    `values` are the scores of independent copies of the clean text. They are cut into groups of `samples`: a further
    group's mean is above the k-th largest of G with probability k / (G + 1). Half of the risk goes there, half to the
    number of copies that differ. 1 where there are too few copies to tell.
    """
    groups = values.shape[1] // samples
    allowed = math.floor(risk / 2 * (groups + 1))
    if not allowed:
        return torch.ones_like(values[:, 0])
    means = values[:, : groups * samples].view(len(values), groups, samples).mean(dim=2)
    usual = means.topk(allowed, dim=1).values[:, -1]
    differing = binom.ppf(1 - risk / 2, samples, shift.double().cpu().numpy())
    return (usual + torch.from_numpy(differing).to(usual) / samples).clamp_max(1.0)


def is_certified(
    scores: Float[Tensor, "lists passages"],
    shifts: Float[Tensor, "lists passages"],
    listed: Bool[Tensor, "lists passages"],
    top: int,
    allowance: float,
) -> Bool[Tensor, " lists"]:
    """Whether no single passage behind the first `top` can be changed so that it enters them.

    Scores are means over copies, shifts what an edit within the radius adds at most. The last insider's score must
    exceed every outsider's score plus shift by `allowance`. Lists that are no longer
    than `top` have no outsider.
    """
    order = scores.double().masked_fill(~listed, -torch.inf).argsort(dim=1, descending=True, stable=True)
    reach = (scores.double() + shifts.double()).masked_fill(~listed, -torch.inf).gather(1, order)
    if scores.shape[1] <= top:
        return torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    last = scores.double().gather(1, order)[:, top - 1]
    best_outsider = reach[:, top:].amax(dim=1)
    return (last - best_outsider - allowance > 0) | (best_outsider == -torch.inf)
