"""A small convolutional and a small transformer model of pictures, and something for them to learn."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from benchmarks.images.domain import Pictures

CLASSES, CHANNELS, SIDE = 10, 3, 32
CONTRAST, NOISE = 0.12, 0.15


class Conv(nn.Sequential):
    """Four convolutions with normalisation, two poolings, a linear layer."""

    def __init__(self, width: int = 32) -> None:
        def block(inside: int, outside: int, stride: int) -> list[nn.Module]:
            return [nn.Conv2d(inside, outside, 3, stride, 1), nn.BatchNorm2d(outside), nn.ReLU()]

        super().__init__(
            *block(CHANNELS, width, 1),
            *block(width, 2 * width, 2),
            *block(2 * width, 2 * width, 1),
            *block(2 * width, 4 * width, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4 * width, CLASSES),
        )


class PatchTransformer(nn.Module):
    """Patches of 4 × 4 pixels, a few transformer layers, the mean of the patches."""

    def __init__(self, width: int = 96, layers: int = 3, patch: int = 4) -> None:
        super().__init__()
        self.patches = nn.Conv2d(CHANNELS, width, patch, patch)
        self.place = nn.Parameter(0.02 * torch.randn(1, (SIDE // patch) ** 2, width))
        layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True, norm_first=True, activation="gelu"
        )
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, CLASSES)

    def forward(self, picture: Tensor) -> Tensor:
        """Logits: [batch, classes]."""
        rows = self.patches(picture).flatten(2).transpose(1, 2) + self.place
        logits: Tensor = self.head(self.layers(rows).mean(dim=1))
        return logits


class OfPictures(nn.Module):
    """A model as robeval's domain asks it."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: Pictures) -> Tensor:
        """Logits: [batch, classes]."""
        logits: Tensor = self.model(batch.picture)
        return logits


def pictures(count: int, generator: torch.Generator) -> Pictures:
    """Noisy pictures of ten smooth patterns."""
    coarse = torch.randn(CLASSES, CHANNELS, 4, 4, generator=torch.Generator().manual_seed(7))
    patterns = interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    label = torch.randint(CLASSES, (count,), generator=generator)
    noise = torch.randn(count, CHANNELS, SIDE, SIDE, generator=generator)
    picture = (0.5 + CONTRAST * patterns[label] + NOISE * noise).clamp(0, 1)
    return Pictures(tuple(map(str, range(count))), picture, label)


def trained(model: nn.Module, steps: int, batch_size: int = 64, learning_rate: float = 2e-3) -> nn.Module:
    """The model after a short training, frozen, in evaluation mode."""
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    model.train()
    for _ in range(steps):
        batch = pictures(batch_size, generator)
        optimizer.zero_grad()
        cross_entropy(model(batch.picture), batch.label).backward()
        optimizer.step()
    return model.eval().requires_grad_(False)
