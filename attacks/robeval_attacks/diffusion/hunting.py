"""What the attacks on words share: their budgets, and the way from a batch to rows of one length."""

from collections.abc import Callable
from typing import Any

import torch

from robeval.domains.diffusion.batch import PromptBatch, put_back
from robeval.plugins.threat import Budget
from robeval.plugins.views import View
from robeval.seeding import Draws
from robeval_attacks.diffusion.places import Form, by_room

TOKENS = Budget("tokens", "tokens", 3.0, "tokens written into the prompt, whose own all stay in their order")
EDITS = Budget("edits", "tokens", 8.0, "tokens of the prompt that are exchanged, added or left out")

Hunt = Callable[[View[Any], PromptBatch, int, Draws], PromptBatch]
"""From a view, prompts, how many tokens to write, and draws to the adversarial prompts."""


def hunted(
    view: View[Any], batch: PromptBatch, form: Form, budget: float, draw: Draws, hunt: Hunt
) -> PromptBatch:
    """The result of `hunt` for every prompt that asks for the concept; the others are left alone.

    It writes as many tokens as the budget allows and the prompt has room for. Notes `no_room` where the prompt is too
    long, and `shortened` where fewer fit than the budget allows.
    """
    part, draw = batch.select(batch.targeted), draw.select(batch.targeted)
    found = part
    for rows, count in by_room(part, form, budget):
        group = part.select(rows)
        if count < int(budget):
            note = "shortened" if count else "no_room"
            view.note(note, group, torch.ones(len(group), dtype=torch.bool))
        if not count:
            continue
        attacked = hunt(view, group, count, draw.select(rows))
        tokens = found.tokens.clone()
        tokens[rows] = attacked.tokens
        found = found.replace(tokens=tokens)
    return put_back(batch, found)
