"""Detectors by folder: transformers' image classifiers and CLIP."""

from pathlib import Path

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.clip_score import clip_score
from robeval.domains.diffusion.judging import is_present, judge_named, presence
from robeval.domains.diffusion.pretrained_judge import Classifier, ZeroShot, resized
from robeval.domains.diffusion.tokens import SHAPES, tokenizer_named
from robeval.errors import DataError, MissingFile


@pytest.fixture(scope="module")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained ViT with three labels."""
    from transformers import ViTConfig, ViTForImageClassification

    folder = tmp_path_factory.mktemp("vit")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = ViTConfig(
            hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, image_size=16,
            patch_size=8, id2label={0: "tench", 1: "church, church building", 2: "parachute"},
            label2id={"tench": 0, "church, church building": 1, "parachute": 2},
        )  # fmt: skip
        ViTForImageClassification(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny untrained CLIP with tokenizer and preprocessor."""
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder = tmp_path_factory.mktemp("clip")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
        text = small | {"vocab_size": len(tokenizer_named(SHAPES)), "max_position_embeddings": 16}
        config = CLIPConfig(
            text_config=text | {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
            vision_config=small | {"image_size": 16, "patch_size": 8},
            projection_dim=8,
        )
        CLIPModel(config).save_pretrained(folder)
    tokenizer_named(SHAPES).save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}).save_pretrained(
        folder
    )
    return folder


def test_a_classifier_judges_by_its_own_labels(classifier_folder: Path, prompts: PromptBatch) -> None:
    """One head with the model's labels; a label of several names answers to each."""
    judge = judge_named(str(classifier_folder))
    assert isinstance(judge, Classifier)
    assert judge.place("church") == judge.place("church building") == (0, 1)
    assert judge.place("tench") == (0, 0)
    with pytest.raises(DataError, match="parachute"):
        judge.place("circle")
    found = judge(prompts.image)
    assert torch.allclose(found.sum(dim=1), torch.ones(len(prompts)))
    asked = prompts.replace(
        detector=str(classifier_folder), concept=("church",) * len(prompts), threshold=0.0
    )
    assert torch.allclose(presence(asked, prompts.image), found[:, 1])
    assert torch.equal(is_present(asked, prompts.image), found.argmax(dim=1) == 1)


def test_a_clip_tells_the_concept_from_anything_else(clip_folder: Path, prompts: PromptBatch) -> None:
    """Two texts are compared with the picture, at CLIP's own temperature."""
    judge = judge_named(str(clip_folder), ("circle",))
    assert isinstance(judge, ZeroShot)
    assert judge.heads == (("circle", "anything else"),)
    found = judge(prompts.image)
    assert torch.allclose(found.sum(dim=1), torch.ones(len(prompts)))
    image = judge.features(prompts.image)
    cosine = torch.nn.functional.cosine_similarity(image[:, None], judge.texts[None], dim=-1)
    assert torch.allclose(found, (cosine * judge.model.logit_scale.exp()).softmax(dim=1), atol=1e-5)


def test_the_clip_score_is_the_cosine(clip_folder: Path, prompts: PromptBatch) -> None:
    """100 times the cosine, at least 0, per example; NaN for pictures of NaN."""
    image = prompts.image.clone()
    image[1] = torch.nan
    found = clip_score(str(clip_folder), image, prompts.text)
    assert found.shape == (len(prompts),)
    assert found[1].isnan()
    assert ((found[2:] >= 0) & (found[2:] <= 100)).all()
    again = clip_score(str(clip_folder), image[2:4], prompts.text[2:4])
    assert torch.allclose(again, found[2:4], atol=1e-3)


def test_pictures_are_brought_to_the_models_size() -> None:
    """Resizing keeps a constant picture and normalises it."""
    one = torch.ones(1, 3, 1, 1)
    assert torch.allclose(resized(torch.full((1, 3, 32, 32), 0.75), 8, 0.5 * one, 0.5 * one), 0.5 * one)


def test_a_missing_detector_is_named() -> None:
    """A name that leads nowhere is refused."""
    with pytest.raises(MissingFile, match="no-such-detector"):
        judge_named("./no-such-detector")
