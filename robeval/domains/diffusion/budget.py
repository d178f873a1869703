"""What an attack on a prompt really spent, measured on what it returned, and prompts that cannot be right."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch


def spent(clean: PromptBatch, adversarial: PromptBatch) -> dict[str, Float[Tensor, " batch"]]:
    """Budgets by name, [batch] each, counted on the text that the victim reads.

    ``tokens``: tokens put in between the prompt's own, which all have to be there in their order. ``edits``: the
    fewest insertions, deletions and substitutions of tokens between both texts. ``embeddings``: soft slots used.
    ``seeds``: 1 where the noise is another. Each is infinite where the attack used something else than that one, or
    touched what belongs to nobody: picture, concept, detector.
    Raises ValueError when the batches hold other examples.
    """
    if clean.ids != adversarial.ids:
        raise ValueError(f"the attack returned other examples: {adversarial.ids[:3]}, not {clean.ids[:3]}")
    adversarial = adversarial.to(clean.device)
    before, after = _words(clean), _words(adversarial)
    same_words = (before == after).all(dim=1)
    same_soft = (clean.soft == adversarial.soft).flatten(1).all(dim=1)
    same_seed = clean.seed == adversarial.seed
    slots = (adversarial.soft != 0).any(dim=-1).sum(dim=1).double()
    honest = untouched(clean, adversarial)
    figures = {
        "tokens": (insertions(before, after), same_soft & same_seed),
        "edits": (edit_distance(before, after), same_soft & same_seed),
        "embeddings": (slots, same_words & same_seed),
        "seeds": ((~same_seed).double(), same_words & same_soft),
    }
    return {
        name: torch.where(honest & alone, value.double(), torch.inf)
        for name, (value, alone) in figures.items()
    }


def untouched(clean: PromptBatch, adversarial: PromptBatch) -> Bool[Tensor, " batch"]:
    """Where everything but prompt, soft slots and seed is as it was."""
    shared = ("tokenizer", "detector", "threshold", "clip", "concept")
    if any(getattr(clean, name) != getattr(adversarial, name) for name in shared):
        return torch.zeros(len(clean), dtype=torch.bool, device=clean.device)
    image, other = clean.image.nan_to_num(nan=-1.0), adversarial.image.nan_to_num(nan=-1.0)
    return (
        (image == other).flatten(1).all(dim=1)
        & (clean.labels == adversarial.labels).all(dim=1)
        & (clean.targeted == adversarial.targeted)
    )


def problems(batch: PromptBatch) -> dict[str, Bool[Tensor, " batch"]]:
    """What is wrong with a prompt → in which examples."""
    tokenizer = text_tokens.tokenizer_named(batch.tokenizer)
    start, end = text_tokens.special_ids(batch.tokenizer)
    tokens = batch.tokens
    unknown = ((tokens < 0) | (tokens >= len(tokenizer))).any(dim=1)
    return {
        "a token id that the tokenizer does not have": unknown,
        "a prompt without its start or end token": (tokens[:, 0] != start)
        | (tokens[:, 1:] != end).all(dim=1),
        "a soft embedding that is NaN or infinite": ~batch.soft.isfinite().flatten(1).all(dim=1),
    }


def _words(batch: PromptBatch) -> Int64[Tensor, "batch words"]:
    """The ids that the victim reads between start and end; -1 behind them."""
    tokens = batch.as_text().tokens
    column = torch.arange(tokens.shape[1], device=tokens.device)
    end = text_tokens.first_end(batch.tokenizer, tokens)
    return torch.where(column < end[:, None], tokens, -1)[:, 1:]


def insertions(
    before: Int64[Tensor, "batch words"], after: Int64[Tensor, "batch words"]
) -> Float[Tensor, " batch"]:
    """How many words more `after` has, if it holds all of `before` in order; else infinite."""
    matched = torch.zeros(len(before), dtype=torch.long, device=before.device)
    size = (before >= 0).sum(dim=1)
    for word in after.unbind(dim=1):
        wanted = before.gather(1, matched.clamp_max(before.shape[1] - 1)[:, None]).squeeze(1)
        matched += ((wanted == word) & (word >= 0) & (matched < size)).long()
    more = (after >= 0).sum(dim=1) - size
    return torch.where(matched == size, more.double(), torch.inf)


def edit_distance(
    before: Int64[Tensor, "batch words"], after: Int64[Tensor, "batch words"]
) -> Float[Tensor, " batch"]:
    """Levenshtein's distance in words; -1 is no word. The dynamic programme runs over words, not over examples."""
    lengths = (before >= 0).sum(dim=1), (after >= 0).sum(dim=1)
    count = after.shape[1]
    column = torch.arange(count + 1, device=before.device)
    row = column.expand(len(before), -1).clone()
    rows = [row]
    for number, word in enumerate(before.unbind(dim=1), start=1):
        # min over insertions to the left is a running minimum of (value - column).
        kept = torch.minimum(row[:, 1:] + 1, row[:, :-1] + (after != word[:, None]).long())
        best = torch.cat([torch.full_like(row[:, :1], number), kept], dim=1)
        row = (best - column).cummin(dim=1).values + column
        rows.append(row)
    table = torch.stack(rows, dim=1)
    ends = table[torch.arange(len(before), device=before.device), lengths[0], lengths[1]]
    return ends.double()
