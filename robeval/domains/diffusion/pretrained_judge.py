"""Concept detectors by folder or hub name: transformers' image classifiers, and CLIP asked without training."""

from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from robeval.domains.diffusion.judging import Judge
from robeval.domains.diffusion.tokens import is_offline
from robeval.errors import DataError, MissingFile

OTHER = "anything else"


def pretrained_judge(name: str, concepts: tuple[str, ...]) -> Judge:
    """The judge in a folder or on the hub; a CLIP tells `concepts` from anything else.

    Raises MissingFile or DataError when it cannot be loaded (safetensors only).
    """
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(name, local_files_only=_is_local(name))
        return ZeroShot(name, concepts) if config.model_type == "clip" else Classifier(name)
    except (OSError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        if Path(name).is_dir():
            raise DataError(
                f"the detector in {name} cannot be loaded (only safetensors are read): {line}"
            ) from None
        raise MissingFile(name, f"A detector is a folder or a hub name that can be reached: {line}") from None


class Classifier(Judge):
    """A transformers image classifier: one head with its own labels.

    A label of several names ("church, church building") answers to each of them.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, name: str) -> None:
        super().__init__()
        from transformers import AutoModelForImageClassification

        self.model: Any = AutoModelForImageClassification.from_pretrained(
            name, use_safetensors=True, local_files_only=_is_local(name)
        )
        labels = self.model.config.id2label
        self.heads = (tuple(str(labels[number]) for number in range(len(labels))),)
        self.size, mean, spread = preparation(name, self.model.config)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    def place(self, concept: str) -> tuple[int, int]:
        """The class whose label is the concept, or names it among others."""
        for number, label in enumerate(self.heads[0]):
            if concept.lower() in {part.strip().lower() for part in (label, *label.split(","))}:
                return 0, number
        return super().place(concept)

    def probabilities(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """The softmax of its logits."""
        found: Tensor = self._scores(image).softmax(dim=1)
        return found

    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """Its logits: what every classifier of transformers has."""
        return self._scores(image)

    def _scores(self, image: Tensor) -> Tensor:
        found: Tensor = self.model(pixel_values=resized(image, self.size, self.mean, self.spread)).logits
        return found


class ZeroShot(Judge):
    """A CLIP that compares a picture with the texts "a photo of a {concept}" and "a photo of anything else"."""

    mean: Tensor
    spread: Tensor
    texts: Tensor

    def __init__(self, name: str, concepts: tuple[str, ...]) -> None:
        super().__init__()
        from transformers import AutoTokenizer, CLIPModel

        self.model: Any = CLIPModel.from_pretrained(
            name, use_safetensors=True, local_files_only=_is_local(name)
        )
        self.heads = ((*concepts, OTHER),)
        text_config: Any = self.model.config.text_config
        tokenizer = AutoTokenizer.from_pretrained(name, local_files_only=_is_local(name))
        longest = text_config.max_position_embeddings
        words = tokenizer(
            [f"a photo of a {concept}" for concept in concepts] + [f"a photo of {OTHER}"],
            padding="max_length", truncation=True, max_length=longest, return_tensors="pt",
        )  # fmt: skip
        with torch.no_grad():
            texts = as_tensor(self.model.get_text_features(**words))
        self.register_buffer("texts", texts / texts.norm(dim=1, keepdim=True), persistent=False)
        self.size, mean, spread = preparation(name, self.model.config.vision_config)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("spread", spread, persistent=False)

    def probabilities(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """The softmax over the texts, at CLIP's own temperature."""
        found = self.features(image)
        close = found / found.norm(dim=1, keepdim=True) @ self.texts.T
        sure: Tensor = (close * self.model.logit_scale.exp()).softmax(dim=1)
        return sure

    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """CLIP's image embedding."""
        pixels = resized(image, self.size, self.mean, self.spread)
        return as_tensor(self.model.get_image_features(pixel_values=pixels))


def as_tensor(found: Any) -> Tensor:
    """Newer transformers answer with a record, older ones with the tensor."""
    answer: Tensor = found if isinstance(found, Tensor) else found.pooler_output
    return answer


def preparation(name: str, config: Any) -> tuple[int, Tensor, Tensor]:
    """Side, mean and spread ([1, 3, 1, 1]) that a model's pictures need: from its preprocessor, if it has one."""
    from transformers import AutoImageProcessor

    side = int(getattr(config, "image_size", 224))
    mean, spread = [0.5] * 3, [0.5] * 3
    try:
        processors: Any = AutoImageProcessor
        settings = processors.from_pretrained(name, local_files_only=_is_local(name)).to_dict()
    except (OSError, ValueError, ImportError):
        settings = {}  # a model without a preprocessor is fed its own size, centred
    mean, spread = settings.get("image_mean", mean), settings.get("image_std", spread)
    wanted = settings.get("crop_size") or settings.get("size") or {}
    side = int(wanted.get("height") or wanted.get("shortest_edge") or side)
    shape = (1, 3, 1, 1)
    return side, torch.tensor(mean).view(shape), torch.tensor(spread).view(shape)


def resized(
    image: Float[Tensor, "batch 3 height width"], side: int, mean: Tensor, spread: Tensor
) -> Float[Tensor, "batch 3 side side"]:
    """Pictures in [0, 1] as a model wants them; differentiable."""
    if image.shape[-2:] != (side, side):
        image = interpolate(image, (side, side), mode="bilinear", antialias=True, align_corners=False)
    return (image.to(mean.dtype) - mean) / spread


def _is_local(name: str) -> bool:
    return Path(name).is_dir() or is_offline()
