"""Lightning without its banners."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

NAMES = (
    "torch.multiprocessing.spawn",
    "pytorch_lightning",
    "lightning.pytorch",
    "lightning.fabric",
    "lightning_fabric",
)


def hush_lightning() -> None:
    """No banners, tips or advice on dataloader workers, from now on: for processes that only run Lightning."""
    for name in NAMES:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"(pytorch_lightning|lightning_fabric)\..*")
    warnings.filterwarnings("ignore", message=r".*(num_workers|log_every_n_steps|LeafSpec).*")


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """The same inside; everything as before afterwards."""
    loggers = [logging.getLogger(name) for name in NAMES]
    levels = [logger.level for logger in loggers]
    try:
        with warnings.catch_warnings():
            hush_lightning()
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
