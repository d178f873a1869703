"""An exported text encoder as a defense."""

from pathlib import Path

import pytest
import torch

from robeval.domains.diffusion.transplant import digest, export_text_encoder
from robeval.domains.diffusion.victims.base import generator
from robeval.domains.diffusion.victims.small import Small
from robeval.errors import MissingFile, OptionError
from robeval.plugins.data import TrainingOnly
from robeval.plugins.options import configure, identity
from robeval.seeding import Seed
from robeval_defenses.diffusion.text_encoder import TextEncoder

OWNER = "defense 'text-encoder'"


@pytest.fixture
def folder(victim: Small, tmp_path: Path) -> Path:
    """The first model's text encoder."""
    return export_text_encoder(victim, tmp_path / "encoder", {})


def test_the_other_model_reads_by_it(
    victim: Small, other_victim: Small, training: TrainingOnly, folder: Path
) -> None:
    """The defended copy encodes as the first model does; the second keeps its own."""
    defense = configure(TextEncoder, {"weights": str(folder)}, OWNER)
    defended = generator(defense.harden(other_victim, training, Seed(0)))
    with torch.no_grad():
        assert torch.equal(defended.encode_text(("a circle",)), victim.encode_text(("a circle",)))
        assert not torch.equal(other_victim.encode_text(("a circle",)), victim.encode_text(("a circle",)))
    assert torch.equal(defended.unet.conv_in.weight, other_victim.unet.conv_in.weight)


def test_its_identity_holds_the_weights(folder: Path) -> None:
    """A cached figure of other weights in the same folder is never taken for this one."""
    written = identity(TextEncoder, {"weights": str(folder)}, OWNER)
    assert written == {"weights": f"{folder}@{digest(folder)}"}
    assert identity(TextEncoder, written, OWNER) == written


def test_a_digest_of_other_weights_is_refused(folder: Path) -> None:
    """A run that is repeated after the weights changed says so."""
    with pytest.raises(OptionError, match=f"the weights there are {digest(folder)} now"):
        configure(TextEncoder, {"weights": f"{folder}@0123456789ab"}, OWNER)


def test_a_missing_folder(victim: Small, training: TrainingOnly) -> None:
    """It is named when the encoder is needed."""
    with pytest.raises(MissingFile, match="nowhere"):
        configure(TextEncoder, {"weights": "nowhere"}, OWNER).harden(victim, training, Seed(0))
