"""The CLIP score by torchmetrics, with any CLIP by folder or hub name."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from robeval.domains.diffusion.pretrained_judge import as_tensor
from robeval.domains.diffusion.tokens import is_offline
from robeval.errors import MissingFile


class Features(nn.Module):
    """A CLIP whose features are tensors: newer transformers answer with records, which torchmetrics does not read."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    def get_image_features(self, pixels: Tensor) -> Tensor:
        """Embedded pictures."""
        return as_tensor(self.model.get_image_features(pixel_values=pixels))

    def get_text_features(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embedded texts."""
        return as_tensor(self.model.get_text_features(input_ids=ids, attention_mask=mask))


@lru_cache(maxsize=2)
def _clip(name: str) -> tuple[Any, Any]:
    from transformers import CLIPModel, CLIPProcessor

    local = Path(name).is_dir() or is_offline()
    try:
        model = CLIPModel.from_pretrained(name, use_safetensors=True, local_files_only=local)
        return Features(model).eval(), CLIPProcessor.from_pretrained(name, local_files_only=local)
    except (OSError, ValueError) as error:
        line = next(iter(str(error).splitlines()), type(error).__name__)
        raise MissingFile(name, f"It should be a CLIP model with its processor: {line}") from None


def clip_score(
    name: str, image: Float[Tensor, "batch 3 height width"], texts: tuple[str, ...]
) -> Float[Tensor, " batch"]:
    """100 times the cosine between each picture and its text, at least 0; NaN for pictures with NaN.

    Source: Hessel et al., arXiv:2104.08718; as in torchmetrics' CLIPScore, per example.
    """
    from torchmetrics.functional.multimodal.clip_score import _clip_score_update

    model, processor = _clip(name)
    fine = image.isfinite().flatten(1).all(dim=1)
    pictures = (image.nan_to_num() * 255).round().to(torch.uint8)
    with torch.no_grad():
        scores, _ = _clip_score_update(list(pictures), list(texts), model.to(image.device), processor)
    return torch.where(fine, scores.clamp_min(0).double(), torch.nan)
