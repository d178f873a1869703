"""Unified concept editing: keys and values of the cross-attention, in closed form."""

import copy
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.victims.base import LatentDiffusion, generator
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.diffusion.captions import known_captions, some_captions
from robeval_defenses.diffusion.parts import trained_parameters

TEMPLATES = (
    "{}",
    "a {}",
    "the {}",
    "a photo of a {}",
    "picture of a {}",
    "image of the {}",
    "a drawing of a {}",
)


class Edit(NamedTuple):
    """Which states are to be read as which others, and which as before."""

    states: Float[Tensor, "erased features"]
    instead: Float[Tensor, "erased features"]
    kept: Float[Tensor, "kept features"]


@dataclass(frozen=True)
class Uce(Defense):
    """Solve for the keys and values with which the concept's words are read as `guide` and other words as before.

    Every such matrix W becomes the minimiser of erase * |W c - W_old c_guide|² + preserve * |W p - W_old p|² +
    ridge * |W - W_old|², sums over the concept's states c and other captions' states p. Nothing is trained: a copy
    of the victim is edited when it is deployed, within a second.

    Source: Gandikota et al., "Unified Concept Editing in Diffusion Models", arXiv:2308.14761.
    Differs: the sum over p is its mean times the number of c, so that the weights do not depend on the number of
    captions. `ends` also edits the end tokens behind the word, which know the concept too (the authors' code edits
    the last word only).
    """

    guide: Annotated[str, Field(description="what the concept is read as; empty: nothing")] = ""
    erase: Annotated[float, Field(gt=0, description="weight of the concept")] = 1.0
    preserve: Annotated[float, Field(ge=0, description="weight of other captions")] = 1.0
    ridge: Annotated[float, Field(gt=0, description="weight of staying with the old matrix")] = 0.5
    ends: Annotated[bool, Field(description="edit the end tokens behind the word as well")] = True
    captions: Annotated[int, Field(ge=0, description="other captions whose words are kept")] = 64

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """A copy of the victim with edited matrices."""
        edited = copy.deepcopy(victim)
        model = generator(edited)
        known = known_captions(data)
        with torch.no_grad():
            states, instead = self._erased(model, known.concept)
            others = some_captions(known.others, self.captions, seed.child("captions"))
            kept = word_states(model, others, ends=self.ends) if others else states[:0]
            for weight in trained_parameters(model, "unet-x-strict").values():
                weight.copy_(self.solved(weight, Edit(states, instead, kept)))
        return edited

    def _erased(self, model: LatentDiffusion, concept: str) -> tuple[Tensor, Tensor]:
        """The concept's states in every template, and those of `guide` in the same places."""
        named = tuple(template.format(concept) for template in TEMPLATES)
        guided = tuple(" ".join(template.format(self.guide).split()) for template in TEMPLATES)
        if not self.guide:
            guided = ("",) * len(TEMPLATES)
        states, ends = states_of(model, named)
        other, other_ends = states_of(model, guided)
        rows = torch.arange(len(named), device=states.device)
        found, instead = [states[rows, ends - 1]], [other[rows, other_ends - 1]]
        if self.ends:
            behind = torch.arange(states.shape[1], device=states.device) >= ends[:, None]
            last = other[rows, -1][:, None].expand_as(states)
            found.append(states[behind])
            instead.append(last[behind])
        return torch.cat(found), torch.cat(instead)

    def solved(self, weight: Float[Tensor, "out features"], edit: Edit) -> Float[Tensor, "out features"]:
        """The minimiser for one matrix."""
        old, c, v, p = (value.double() for value in (weight, edit.states, edit.instead, edit.kept))
        share = self.preserve * len(c) / max(len(p), 1)
        kept = self.ridge * torch.eye(old.shape[1], dtype=old.dtype, device=old.device) + share * p.T @ p
        wanted = old @ (kept + self.erase * v.T @ c)
        solved: Tensor = torch.linalg.solve(kept + self.erase * c.T @ c, wanted, left=False)
        return solved.to(weight.dtype)


def states_of(
    model: LatentDiffusion, texts: tuple[str, ...]
) -> tuple[Float[Tensor, "texts length features"], Int64[Tensor, " texts"]]:
    """Hidden states of texts, and where each one's first end token stands."""
    tokens = text_tokens.encoded(model.tokenizer, texts, model.length).to(model.alphas.device)
    return model.encode(model.embed(tokens)), text_tokens.first_end(model.tokenizer, tokens)


def word_states(
    model: LatentDiffusion, texts: tuple[str, ...], *, ends: bool
) -> Float[Tensor, "states features"]:
    """The states of all words of some texts, one row each; with `ends` those of the end tokens too."""
    states, first_end = states_of(model, texts)
    place = torch.arange(states.shape[1], device=states.device)
    wanted: Bool[Tensor, "texts length"] = (place > 0) & (ends | (place < first_end[:, None]))
    return states[wanted]
