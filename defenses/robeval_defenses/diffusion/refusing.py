"""What a defense shows instead of a picture that it refuses."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

GREY = 0.5


def refused(
    image: Float[Tensor, "batch 3 height width"], stopped: Bool[Tensor, " batch"]
) -> Float[Tensor, "batch 3 height width"]:
    """The pictures, those that are stopped in one grey."""
    return torch.where(stopped.view(-1, 1, 1, 1), torch.full_like(image, GREY), image)
