"""Pictures of the embedded world: one object on a dark, noisy background, drawn for a whole batch at once."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from robeval.domains.diffusion.world import COLOURS, SHAPES, TEXTURES
from robeval.seeding import Draws

SIDE = 32
RGB = {
    "red": (0.92, 0.16, 0.16),
    "green": (0.16, 0.78, 0.22),
    "blue": (0.22, 0.34, 0.96),
    "yellow": (0.96, 0.86, 0.16),
    "white": (0.96, 0.96, 0.96),
}
DARKEST = 0.4
"""How much of its colour the darker part of a texture keeps: with less, shapes cannot be told any more."""
PERIOD = 0.25
"""Of stripes and dots, in half image widths: 4 pixels, the side of the autoencoder's patches, so that a texture is
the same latent everywhere. A small network learns coarser or wandering stripes many times more slowly."""


def drawn(
    kind: Int64[Tensor, "batch 3"], draw: Draws, side: int = SIDE
) -> Float[Tensor, "batch 3 height width"]:
    """A picture in [0, 1] per row of `kind` (shape, texture, colour by number); place, size and noise are drawn."""
    centre = draw.uniform(2, low=-0.15, high=0.15)
    radius = draw.uniform(1, low=0.55, high=0.75)[:, :, None]
    line = (torch.arange(side) + 0.5) / side * 2 - 1
    # Textures keep to the picture's grid, not to the object.
    across, down = (
        line.view(1, 1, side).expand(len(kind), side, side),
        line.view(1, side, 1).expand(len(kind), side, side),
    )
    x, y = across - centre[:, 0].view(-1, 1, 1), down - centre[:, 1].view(-1, 1, 1)
    inside = torch.sigmoid(-_outside(kind[:, 0], x, y, radius) * side)
    shade = _shade(kind[:, 1], across, down)
    colours = torch.tensor([RGB[name] for name in COLOURS])[kind[:, 2]]
    object_ = colours[:, :, None, None] * shade[:, None]
    rest = (1 - inside)[:, None]
    noise = draw.normal(3, side, side, std=0.015) * (1 + rest)
    return (inside[:, None] * object_ + rest * 0.08 + noise).clamp(0, 1)


def _outside(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """Signed distance (about) to the outline, negative inside: [batch, side, side]."""
    square = torch.maximum(x.abs(), y.abs()) - 0.82 * radius
    half = math.sqrt(3) / 2
    triangle = torch.maximum(half * x.abs() - y / 2, y) - radius / 2
    bars = [torch.maximum(a.abs() - 0.3 * radius, b.abs() - radius) for a, b in ((x, y), (y, x))]
    by_name = {
        "circle": (x.square() + y.square()).sqrt() - radius,
        "square": square,
        "triangle": triangle,
        "cross": torch.minimum(*bars),
    }
    return _chosen(shape, torch.stack([by_name[name] for name in SHAPES]))


def _shade(texture: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The share of its colour that each pixel of the object keeps: [batch, side, side]."""
    stripes = torch.sigmoid(12 * torch.sin(2 * math.pi * y / PERIOD))
    nearest = [torch.remainder(value, PERIOD) - PERIOD / 2 for value in (x, y)]
    distance = (nearest[0].square() + nearest[1].square()).sqrt()
    dots = torch.sigmoid((distance - 0.3 * PERIOD) * 120)
    by_name = {"plain": torch.ones_like(x), "striped": stripes, "dotted": dots}
    return DARKEST + (1 - DARKEST) * _chosen(texture, torch.stack([by_name[name] for name in TEXTURES]))


def _chosen(index: Tensor, options: Tensor) -> Tensor:
    """Row i of option `index[i]`; options are [kinds, batch, ...]."""
    return options[index, torch.arange(options.shape[1])]
