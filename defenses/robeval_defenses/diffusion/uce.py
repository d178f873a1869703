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
    Differs: the concept's states are those of its word in captions of the training split, the guide's those in
    the same captions with the word exchanged (the authors use the bare word in a few templates); `behind` edits the
    places behind the word too, which know the concept as well. The sum over p is its mean times the number of c, so
    that the weights do not depend on the number of captions.
    """

    guide: Annotated[str, Field(description="what the concept's word is exchanged for; empty: left out")] = ""
    erase: Annotated[float, Field(gt=0, description="weight of the concept")] = 1.0
    preserve: Annotated[float, Field(ge=0, description="weight of other captions")] = 0.3
    ridge: Annotated[float, Field(gt=0, description="weight of staying with the old matrix")] = 0.5
    behind: Annotated[bool, Field(description="edit what stands behind the word as well")] = True
    captions: Annotated[
        int, Field(ge=1, description="captions that name the concept, and as many others")
    ] = 64

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """A copy of the victim with edited matrices."""
        edited = copy.deepcopy(victim)
        model = generator(edited)
        known = known_captions(data)
        naming, others = (
            some_captions(texts, self.captions, seed.child(name))
            for name, texts in (("naming", known.naming), ("others", known.others))
        )
        with torch.no_grad():
            states, instead = self.erased(model, known.concept, naming)
            edit = Edit(states, instead, word_states(model, others, ends=self.behind))
            for weight in trained_parameters(model, "unet-x-strict").values():
                weight.copy_(self.solved(weight, edit))
        return edited

    def erased(
        self, model: LatentDiffusion, concept: str, naming: tuple[str, ...]
    ) -> tuple[Float[Tensor, "erased features"], Float[Tensor, "erased features"]]:
        """The states of the concept's word and behind it, and those in the same places with `guide` in its stead."""
        parts = [f" {text} ".partition(f" {concept} ") for text in naming]
        states, word = states_of(model, tuple(f"{before}{concept}".strip() for before, _, _ in parts), naming)
        guided = tuple(" ".join(f"{before} {self.guide} {after}".split()) for before, _, after in parts)
        other, place = states_of(
            model, tuple(f"{before} {self.guide}".strip() for before, _, _ in parts), guided
        )
        column = torch.arange(states.shape[1], device=states.device).expand(len(states), -1)
        chosen = column >= word[:, None] if self.behind else column == word[:, None]
        source = (column - word[:, None] + place[:, None]).clamp(0, states.shape[1] - 1)
        return states[chosen], other.gather(1, source[..., None].expand_as(other))[chosen]

    def solved(self, weight: Float[Tensor, "out features"], edit: Edit) -> Float[Tensor, "out features"]:
        """The minimiser for one matrix."""
        old, c, v, p = (value.double() for value in (weight, edit.states, edit.instead, edit.kept))
        share = self.preserve * len(c) / max(len(p), 1)
        kept = self.ridge * torch.eye(old.shape[1], dtype=old.dtype, device=old.device) + share * p.T @ p
        wanted = old @ (kept + self.erase * v.T @ c)
        solved: Tensor = torch.linalg.solve(kept + self.erase * c.T @ c, wanted, left=False)
        return solved.to(weight.dtype)


def states_of(
    model: LatentDiffusion, beginnings: tuple[str, ...], texts: tuple[str, ...]
) -> tuple[Float[Tensor, "texts length features"], Int64[Tensor, " texts"]]:
    """Hidden states of texts, and where the last word of each one's beginning stands (0, the start, for none)."""
    tokens, begun = (
        text_tokens.encoded(model.tokenizer, each, model.length).to(model.alphas.device)
        for each in (texts, beginnings)
    )
    return model.encode(model.embed(tokens)), text_tokens.first_end(model.tokenizer, begun) - 1


def word_states(
    model: LatentDiffusion, texts: tuple[str, ...], *, ends: bool
) -> Float[Tensor, "states features"]:
    """The states of all words of some texts, one row each; with `ends` those of the end tokens too."""
    states, last = states_of(model, texts, texts)
    place = torch.arange(states.shape[1], device=states.device)
    wanted: Bool[Tensor, "texts length"] = (place > 0) & (ends | (place <= last[:, None]))
    return states[wanted]
