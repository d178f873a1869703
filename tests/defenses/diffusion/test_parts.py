"""Which weights an eraser may change."""

import pytest
import torch

from robeval.domains.diffusion.victims.small import Small
from robeval.errors import OptionError
from robeval_defenses.diffusion.parts import Part, only_trained, trained_parameters


def count(victim: Small, part: Part, layers: int | None = None) -> int:
    """How many numbers a part has."""
    return sum(weight.numel() for weight in trained_parameters(victim, part, layers).values())


def test_the_default_victims_parts_are_as_large_as_specified() -> None:
    """A4: cross-attention has 84,320 of the UNet's 1,082,188 weights, its keys and values 45,056."""
    victim = Small()
    assert count(victim, "unet") == 1_082_188
    assert count(victim, "unet-x") == 84_320
    assert count(victim, "unet-x-strict") == 45_056
    assert count(victim, "unet-u") == 1_082_188 - 84_320


def test_token_and_position_tables_are_never_trained(victim: Small) -> None:
    """Attacks start from them; all else of the text encoder is a layer or the last norm."""
    names = set(trained_parameters(victim, "text-encoder"))
    every = {f"text_encoder.{name}" for name, _ in victim.text_encoder.named_parameters()}
    assert every - names == {name for name in every if ".embeddings." in name}


def test_the_first_layers_only(victim: Small) -> None:
    """layers=1 leaves the second layer out and keeps the last norm."""
    first = set(trained_parameters(victim, "text-encoder", 1))
    both = set(trained_parameters(victim, "text-encoder", 2))
    assert both == set(trained_parameters(victim, "text-encoder"))
    assert both - first == {name for name in both if ".layers.1." in name}
    assert any("final_layer_norm" in name for name in first)


@pytest.mark.parametrize(("part", "layers"), [("text-encoder", 3), ("unet-x", 1)])
def test_layers_that_do_not_fit(victim: Small, part: Part, layers: int) -> None:
    """More layers than there are, or layers of something else, are refused with the number."""
    with pytest.raises(OptionError, match=f"layers={layers}"):
        trained_parameters(victim, part, layers)


def test_gradients_for_the_part_alone(victim: Small) -> None:
    """Everything else is frozen."""
    chosen = only_trained(victim, "unet-x")
    wanted = {name for name, weight in victim.named_parameters() if weight.requires_grad}
    assert wanted == set(chosen)


def test_older_transformers_names_are_found(victim: Small) -> None:
    """Before release 5.6 the text encoder's layers had a prefix `text_model`."""
    names = {name: torch.nn.Parameter(torch.zeros(1)) for name in (
        "text_model.encoder.layers.0.mlp.fc1.weight",
        "text_model.encoder.layers.1.mlp.fc1.weight",
        "text_model.final_layer_norm.weight",
        "text_model.embeddings.token_embedding.weight",
    )}  # fmt: skip

    class Old:
        config = victim.text_encoder.config

        def named_parameters(self) -> list[tuple[str, torch.nn.Parameter]]:
            return list(names.items())

    del victim._modules["text_encoder"]
    object.__setattr__(victim, "text_encoder", Old())
    assert {name.removeprefix("text_encoder.") for name in trained_parameters(victim, "text-encoder", 1)} == {
        "text_model.encoder.layers.0.mlp.fc1.weight",
        "text_model.final_layer_norm.weight",
    }
