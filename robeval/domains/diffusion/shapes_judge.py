"""The embedded world's concept detector: a small network with a head for shape, texture and colour.

Its weights come with the package (`robeval_datasets.diffusion.train_judge` makes them): the ruler of every figure
should be the same on every machine.
"""

from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from robeval.domains.diffusion.judging import Judge
from robeval.domains.diffusion.world import HEADS
from robeval.plugins.weights import load_weights

WEIGHTS = Path(__file__).parent / "shapes_judge.safetensors"
FEATURES = 16
"""Few enough for a covariance of some dozen pictures: the space of FID and KID."""


class ShapesJudge(Judge):
    """Three convolutions of stride 2 and a linear layer to all classes; pictures of 32 x 32."""

    heads = HEADS

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 24, 48, 48)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Flatten())
        self.narrow = nn.Linear(widths[-1] * 4 * 4, FEATURES)
        self.classes = nn.Linear(FEATURES, sum(len(head) for head in HEADS))

    def logits(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Scores of all classes before the softmax of each head."""
        scores: Tensor = self.classes(self.features(image))
        return scores

    def probabilities(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Shape, texture and colour, each summing to 1."""
        return torch.cat([head.softmax(dim=1) for head in self.by_head(self.logits(image))], dim=1)

    def features(self, image: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch features"]:
        """What the classes are read from; of a fixed length, since KID takes a third power."""
        found: Tensor = self.narrow(self.layers((image * 2 - 1).to(self.classes.weight.dtype)))
        return layer_norm(found, (FEATURES,))


def shapes_judge() -> ShapesJudge:
    """The trained judge, from the package."""
    judge = ShapesJudge()
    load_weights(judge, WEIGHTS)
    return judge
