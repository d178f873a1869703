"""The embedded world: seeded pictures of shapes with captions, and the prompts that a model is judged by."""

import hashlib
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import torch
from jaxtyping import Int64
from pydantic import Field
from torch import Tensor

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import SHAPES as JUDGE
from robeval.domains.diffusion.world import HEADS
from robeval.errors import OptionError
from robeval.plugins.data import Dataset, Split
from robeval.seeding import Draws, Seed
from robeval_datasets.diffusion.captions import Captioned, captions, every_kind, full_captions
from robeval_datasets.diffusion.drawing import drawn

SOFT_SLOTS = 8
WIDTH = 64
"""The embedded text encoder's."""
CONCEPTS = tuple(name for head in HEADS for name in head)


class Synthetic(Dataset):
    """Pictures of one object each, 32 x 32, with captions: 4 shapes x 3 textures x 5 colours.

    The test split has `prompts` captions that ask for the concept to be erased, and `retained` ones that ask for
    something else. Captions call shapes and textures (and colours, where one is the concept) by synonyms too: 75 %,
    15 % and 10 % for the first, second and third word.
    """

    domain: ClassVar[str] = "diffusion"

    def __init__(
        self,
        concept: Annotated[
            str, Field(description="what is to be erased: a shape, texture or colour")
        ] = "circle",
        prompts: Annotated[int, Field(ge=1, le=500, description="test prompts that ask for it")] = 20,
        retained: Annotated[int, Field(ge=0, le=500, description="test prompts that ask for others")] = 45,
        train: Annotated[int, Field(ge=64, description="training pictures")] = 6000,
        textures: Annotated[Literal["all", "plain"], Field(description="which textures there are")] = "all",
        threshold: Annotated[
            float, Field(ge=0, le=1, description="the judge's probability from which a concept is present")
        ] = 0.5,
        clip: Annotated[str, Field(description="folder or hub name of a CLIP for the CLIP score")] = "",
        seed: Annotated[int, Field(ge=0, description="seed of pictures and captions")] = 0,
    ) -> None:
        super().__init__()
        if concept not in CONCEPTS:
            raise OptionError(f"concept '{concept}' is not one of {', '.join(CONCEPTS)}")
        if textures == "plain" and concept in HEADS[1]:
            raise OptionError(f"with textures=plain there is no concept '{concept}'; use a shape or a colour")
        self.concept, self.prompts, self.retained, self.train_pictures = concept, prompts, retained, train
        self.textures, self.threshold, self.clip, self.seed = textures, threshold, clip, seed
        self.source = _source()

    def load(self, split: Split) -> PromptBatch:
        """All examples of a split."""
        return self._judged() if split == "test" else self._captioned(split)

    def _captioned(self, split: Split) -> PromptBatch:
        """Random pictures with random captions."""
        count = self.train_pictures if split == "train" else max(self.train_pictures // 10, 64)
        ids = tuple(f"{split}-{number}" for number in range(count))
        draw = Seed(self.seed).child("world", split).draws(ids)
        sizes = [len(head) for head in HEADS]
        kind = torch.stack([draw.integers(self._textures if n == 1 else sizes[n]) for n in range(3)], dim=1)
        said = captions(kind, draw.fork("caption"), colour_synonyms=self._head == 2)
        return self._batch(ids, kind, said, draw.fork("picture"))

    def _judged(self) -> PromptBatch:
        """Prompts for the concept, then prompts for the others: both complete, in plain words."""
        every = every_kind(self._textures)
        mine = every[:, self._head] == HEADS[self._head].index(self.concept)
        chosen = []
        for part, count in ((every[mine], self.prompts), (every[~mine], self.retained)):
            lots = Seed(self.seed).child("prompts").draws([str(row) for row in part.tolist()]).bits(1)[:, 0]
            order = lots.argsort() if len(part) > count or count < len(part) else torch.arange(len(part))
            chosen.append(part[order[torch.arange(count) % len(part)]] if count else part[:0])
        kind = torch.cat(chosen)
        ids = tuple(
            [f"{self.concept}-{number}" for number in range(self.prompts)]
            + [f"kept-{number}" for number in range(self.retained)]
        )
        draw = Seed(self.seed).child("world", "test").draws(ids)
        return self._batch(ids, kind, full_captions(kind), draw.fork("picture"))

    def _batch(
        self, ids: tuple[str, ...], kind: Int64[Tensor, "batch 3"], said: Captioned, draw: Draws
    ) -> PromptBatch:
        mine = said.said[:, self._head] == HEADS[self._head].index(self.concept)
        return PromptBatch(
            ids=ids,
            tokens=text_tokens.encoded(text_tokens.SHAPES, said.text, text_tokens.SHAPES_LENGTH),
            soft=torch.zeros(len(ids), SOFT_SLOTS, WIDTH),
            seed=draw.fork("latent").bits(1).squeeze(1),
            image=drawn(kind, draw),
            targeted=mine,
            labels=said.said,
            concept=(self.concept,) * len(ids),
            tokenizer=text_tokens.SHAPES,
            detector=JUDGE,
            threshold=self.threshold,
            clip=self.clip,
        )

    @property
    def _head(self) -> int:
        return next(number for number, head in enumerate(HEADS) if self.concept in head)

    @property
    def _textures(self) -> int:
        return 1 if self.textures == "plain" else len(HEADS[1])


def _source() -> str:
    """A digest of what the pictures and captions are made by: a change there changes the examples."""
    from robeval.domains.diffusion import world

    digest = hashlib.blake2b(digest_size=8)
    here = Path(__file__).parent
    for path in (here / "captions.py", here / "drawing.py", Path(str(world.__file__))):
        digest.update(path.read_bytes())
    return digest.hexdigest()
