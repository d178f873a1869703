"""Prompts from files."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import image as pictures

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.tokens import SHAPES, tokenizer_named
from robeval.errors import DataError, MissingFile
from robeval_datasets.diffusion.prompts import Prompts, read_picture


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with what the dataset reads of a pipeline: tokenizer and text encoder's configuration."""
    from transformers import CLIPTextConfig

    folder = tmp_path_factory.mktemp("model")
    tokenizer_named(SHAPES).save_pretrained(folder / "tokenizer")
    CLIPTextConfig(hidden_size=16, num_attention_heads=2).save_pretrained(folder / "text_encoder")
    return str(folder)


def read(path: Path, model: str, **options: str) -> PromptBatch:
    """The test split of a file, judged by the embedded judge."""
    data = Prompts(path=str(path), model=model, concept="circle", detector="shapes", side=8)
    for name, value in options.items():
        setattr(data, name, value)
    batch = data.split("test")
    assert isinstance(batch, PromptBatch)
    return batch


def test_csv_rows_become_prompts(tmp_path: Path, model: str) -> None:
    """Prompt, concept, seed and picture are taken from their columns."""
    pictures.imsave(tmp_path / "a.png", np.full((4, 4, 3), 0.5))
    path = tmp_path / "prompts.csv"
    path.write_text(
        "case_number,prompt,concept,evaluation_seed,image\n"
        "7,a red circle,circle,42,a.png\n"
        '8,"a blue square",square,,\n'
    )
    batch = read(path, model)
    assert batch.ids == ("7", "8")
    assert batch.text == ("a red circle", "a blue square")
    assert batch.targeted.tolist() == [True, False]
    assert batch.seed[0] == 42
    assert batch.labels.tolist() == [[0], [1]]
    assert torch.allclose(batch.image[0], torch.full((3, 8, 8), 0.5), atol=0.01)
    assert batch.image[1].isnan().all()
    assert batch.soft.shape == (2, 8, 16)


def test_json_lines_and_splits(tmp_path: Path, model: str) -> None:
    """Rows of other splits are left out; a row without one is in all."""
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": "a circle", "split": "train"}, {"prompt": "a disc", "id": "x"}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert read(path, model).ids == ("x",)
    train = Prompts(path=str(path), model=model, concept="circle", detector="shapes", side=8).split("train")
    assert train.ids == ("prompt-0", "x")


def test_the_content_is_in_the_fingerprint(tmp_path: Path, model: str) -> None:
    """Another prompt in the same file is another dataset."""
    path = tmp_path / "prompts.csv"
    marks = []
    for text in ("a circle", "a disc"):
        path.write_text(f"prompt\n{text}\n")
        marks.append(Prompts(path=str(path), model=model, concept="circle", detector="shapes").fingerprint())
    assert marks[0] != marks[1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prompt,seed\na circle,soon\n", "'soon', not a number"),
        ("words\na circle\n", "no text in column 'prompt'"),
        ("id,prompt\n1,a circle\n1,a disc\n", "'1' is there twice"),
        ("prompt,split\na circle,dev\n", "split 'dev'"),
        ("prompt,split\na circle,train\n", "no prompt in split 'test'"),
        (f"prompt\n{'red ' * 20}circle\n", "more than 14 tokens"),
        ("prompt,image\na circle,none.png\n", "none.png"),
    ],
)
def test_what_cannot_be_right_is_said(tmp_path: Path, model: str, text: str, message: str) -> None:
    """Bad rows are refused with the row and what is wrong with it."""
    path = tmp_path / "prompts.csv"
    path.write_text(text)
    with pytest.raises((DataError, MissingFile), match=message):
        read(path, model)


def test_bad_json_names_its_line(tmp_path: Path, model: str) -> None:
    """A line that is no JSON object is named."""
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a circle"}\n{"prompt": \n')
    with pytest.raises(DataError, match="line 2"):
        read(path, model)
    path.write_text("[1]\n")
    with pytest.raises(DataError, match="expected an object"):
        read(path, model)


def test_a_missing_file_is_named(model: str) -> None:
    """The path that is not there is said."""
    with pytest.raises(MissingFile, match=r"nowhere\.csv"):
        Prompts(path="nowhere.csv", model=model, concept="circle", detector="shapes").fingerprint()


def test_files_that_are_no_pictures_are_refused(tmp_path: Path) -> None:
    """A file that is no picture is refused."""
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        read_picture(tmp_path / "broken.png", 8)
