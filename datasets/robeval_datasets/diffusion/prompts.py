"""Prompts from a file, for real text-to-image models."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from matplotlib import image as pictures
from pydantic import Field
from torch import Tensor
from torch.nn.functional import interpolate

from robeval.domains.diffusion import tokens as text_tokens
from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import judge_named
from robeval.errors import DataError, MissingFile, OptionError
from robeval.plugins.data import Dataset, Split
from robeval.seeding import Seed

SOFT_SLOTS = 8
SPLITS = ("train", "val", "test")


class Prompts(Dataset):
    """Prompts from a CSV or JSON Lines file with a column `prompt`, for a pipeline with a CLIP tokenizer.

    Further columns, all optional: `concept` (asked for; a row whose concept is not the erased one is a retained
    prompt), `seed` or `evaluation_seed`, `image` (a picture that shows it, path beside the file), `split` (train,
    val or test; without it every row is in all three), `id` or `case_number`.
    """

    domain: ClassVar[str] = "diffusion"

    def __init__(
        self,
        path: Annotated[str, Field(description="the CSV or JSON Lines file; to be given")] = "",
        model: Annotated[
            str, Field(description="the pipeline whose tokenizer reads the prompts; to be given")
        ] = "",
        concept: Annotated[
            str, Field(description="what is to be erased, as the detector names it; to be given")
        ] = "",
        detector: Annotated[
            str, Field(description="image classifier or CLIP: folder or hub name; to be given")
        ] = "",
        threshold: Annotated[
            float, Field(ge=0, le=1, description="the detector's probability from which a concept is present")
        ] = 0.5,
        side: Annotated[int, Field(ge=8, description="pictures are read at this size, pixels")] = 512,
        clip: Annotated[str, Field(description="folder or hub name of a CLIP for the CLIP score")] = "",
        seed: Annotated[int, Field(ge=0, description="seed of the noise, where the file names none")] = 0,
    ) -> None:
        super().__init__()
        self.path, self.model, self.concept, self.detector = path, model, concept, detector
        self.threshold, self.side, self.clip, self.seed = threshold, side, clip, seed

    def files(self) -> Sequence[Path]:
        """The file. Raises MissingFile."""
        place = Path(self.path)
        if not place.is_file():
            raise MissingFile(place, "It should be a CSV or JSON Lines file with a column 'prompt'.")
        return (place,)

    def load(self, split: Split) -> PromptBatch:
        """The rows of a split.

        Raises OptionError without model, concept and detector, MissingFile or DataError with the line that is wrong.
        """
        self.files()
        missing = [name for name in ("model", "concept", "detector") if not getattr(self, name)]
        if missing:
            raise OptionError(
                f"dataset 'prompts' needs the options {', '.join(missing)}: see robeval show prompts"
            )
        rows = [row for row in self._rows() if (row.get("split") or split) == split]
        if not rows:
            raise DataError(
                f"{self.path} has no prompt in split '{split}'; leave out the column 'split' or add some"
            )
        ids = tuple(str(row["id"]) for row in rows)
        texts = tuple(row["prompt"] for row in rows)
        concepts = [row.get("concept") or self.concept for row in rows]
        judge_named(self.detector, (self.concept,)).place(
            self.concept
        )  # said now, not when pictures are judged
        drawn = Seed(self.seed).child("latent").draws(ids).bits(1).squeeze(1)
        named = torch.tensor([int(row["seed"]) if row.get("seed") else 0 for row in rows])
        given = torch.tensor([bool(row.get("seed")) for row in rows])
        return PromptBatch(
            ids=ids,
            tokens=self._tokens(texts),
            soft=torch.zeros(len(ids), SOFT_SLOTS, width_of(self.model)),
            seed=torch.where(given, named, drawn),
            image=self._images(rows),
            targeted=torch.tensor([concept == self.concept for concept in concepts]),
            labels=torch.tensor([[self._label(concept)] for concept in concepts]),
            concept=(self.concept,) * len(ids),
            tokenizer=self.model,
            detector=self.detector,
            threshold=self.threshold,
            clip=self.clip,
        )

    def _tokens(self, texts: tuple[str, ...]) -> Tensor:
        found = text_tokens.encoded(self.model, texts)
        whole = text_tokens.tokenizer_named(self.model)(list(texts))["input_ids"]
        long = [text for text, ids in zip(texts, whole, strict=True) if len(ids) > found.shape[1]]
        if long:
            raise DataError(
                f"{self.path}: {len(long)} prompts have more than {found.shape[1] - 2} tokens and would be cut "
                f"off, the first one: {long[0]!r}. Shorten or drop them."
            )
        return text_tokens.retokenized(self.model, found)

    def _label(self, concept: str) -> int:
        """The detector's class of a concept; -1 for a CLIP, which tells one concept from the rest only."""
        judge = judge_named(self.detector, (self.concept,))
        try:
            return judge.place(concept)[1]
        except DataError:
            if concept == self.concept or len(judge.heads[0]) > 2:
                raise
            return -1

    def _images(self, rows: list[dict[str, Any]]) -> Float[Tensor, "batch 3 side side"]:
        """The pictures that the file names; NaN where it names none."""
        if not any(row.get("image") for row in rows):
            return torch.full((len(rows), 3, self.side, self.side), torch.nan)
        folder = Path(self.path).parent
        nothing = torch.full((3, self.side, self.side), torch.nan)
        return torch.stack(
            [read_picture(folder / row["image"], self.side) if row.get("image") else nothing for row in rows]
        )

    def _rows(self) -> list[dict[str, Any]]:
        (place,) = self.files()
        text = place.read_text(encoding="utf-8-sig")
        if place.suffix in (".jsonl", ".ndjson", ".json"):
            rows = [
                _parsed(line, place, number)
                for number, line in enumerate(text.splitlines(), 1)
                if line.strip()
            ]
        else:
            rows = list(csv.DictReader(text.splitlines()))
        for number, row in enumerate(rows):
            _checked(row, place, number)
        names = [row["id"] for row in rows]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise DataError(f"{place}: the id '{twice}' is there twice; every prompt needs one of its own")
        return rows


def _parsed(line: str, place: Path, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise DataError(f"{place}, line {number}: no JSON: {error}") from None
    if not isinstance(row, dict):
        raise DataError(f"{place}, line {number}: expected an object with a 'prompt', got {line[:40]!r}")
    return row


def _checked(row: dict[str, Any], place: Path, number: int) -> None:
    """Give the row its id and seed under one name. Raises DataError for what cannot be right."""
    row.setdefault("seed", row.get("evaluation_seed"))
    name = row.get("id") if row.get("id") not in (None, "") else row.get("case_number")
    row["id"] = str(name) if name not in (None, "") else f"prompt-{number}"
    if not isinstance(row.get("prompt"), str) or not row["prompt"].strip():
        raise DataError(f"{place}: row {number + 1} ('{row['id']}') has no text in column 'prompt'")
    try:
        row["seed"] = str(int(row["seed"])) if row.get("seed") not in (None, "") else None
    except (TypeError, ValueError):
        raise DataError(
            f"{place}: row {number + 1} ('{row['id']}') has seed {row['seed']!r}, not a number"
        ) from None
    if (row.get("split") or "test") not in SPLITS:
        raise DataError(
            f"{place}: row {number + 1} has split '{row['split']}', not one of {', '.join(SPLITS)}"
        )


def width_of(model: str) -> int:
    """How many numbers a token's embedding has in a pipeline. Raises MissingFile."""
    from transformers import CLIPTextConfig

    local = Path(model).is_dir() or text_tokens.is_offline()
    try:
        return int(
            CLIPTextConfig.from_pretrained(
                model, subfolder="text_encoder", local_files_only=local
            ).hidden_size
        )
    except (OSError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise MissingFile(model, f"It should be a Stable Diffusion pipeline: {line}") from None


def read_picture(path: Path, side: int) -> Float[Tensor, "3 side side"]:
    """A picture file in [0, 1], scaled to a square. Raises MissingFile or DataError."""
    if not path.is_file():
        raise MissingFile(path, "It is named in the column 'image'.")
    try:
        values = np.asarray(pictures.imread(str(path)))
    except Exception as error:
        raise DataError(f"{path} is not a readable picture: {error}") from None
    scale = 255.0 if values.dtype == np.uint8 else 1.0
    values = np.repeat(values[..., None], 3, axis=-1) if values.ndim == 2 else values[..., :3]
    tensor = torch.tensor(values / scale, dtype=torch.float32).permute(2, 0, 1)
    return interpolate(tensor[None], (side, side), mode="bilinear", antialias=True, align_corners=False)[
        0
    ].clamp(0, 1)
