"""What a person looks at: what was drawn before the defense, what is drawn now, and what under attack."""

import textwrap
from typing import cast

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from robeval.domains.diffusion.batch import PromptBatch
from robeval.domains.diffusion.judging import is_present, presence
from robeval.plugins.contracts import Trial

PANEL_IN = 2.2
UNDEFENDED = ("what the caption says", "victim, own prompt", "victim, under attack")
DEFENDED = ("undefended", "defended", "defended, under attack")


def draw(trial: Trial[PromptBatch], title: str = "") -> Figure:
    """A row of three pictures per example, all of them from the example's own noise (unless the attack chose it).

    The first is the undefended victim's; without a defense it is the picture that the caption was written for. Below
    each stand the prompt that it was drawn for and how sure the judge is of the concept. The frame is thick and
    marked "shown" where the judge sees the concept. The figure belongs to no backend.
    """
    count = len(trial.clean)
    figure = Figure(figsize=(3 * PANEL_IN, count * (PANEL_IN + 0.75) + 0.4), layout="constrained")
    panels = figure.subplots(count, 3, squeeze=False)
    shown = (
        (trial.clean, _before(trial)),
        (trial.clean, trial.clean_output.image),
        (trial.adversarial, trial.output.image),
    )
    for column, (batch, images) in enumerate(shown):
        texts, sure, present = _words(batch), presence(batch, images), is_present(batch, images)
        for row in range(count):
            panel = panels[row, column]
            _show(panel, images[row])
            _frame(panel, bool(present[row]))
            says = f"{batch.concept[row]} {float(sure[row]):.2f}" + (" (shown)" if present[row] else "")
            panel.set_xlabel(f"{textwrap.fill(texts[row], 32)}\n{says}", fontsize=7)
            if row == 0:
                titles = UNDEFENDED if trial.original is None else DEFENDED
                panel.set_title(titles[column], fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _before(trial: Trial[PromptBatch]) -> Tensor:
    """The pictures of the first column."""
    if trial.original is None:
        return trial.clean.image
    with torch.no_grad():
        return cast(Tensor, trial.original(trial.clean).image)


def _words(batch: PromptBatch) -> tuple[str, ...]:
    """The prompts as they are read, soft slots and other noise named."""
    soft = (batch.soft != 0).any(dim=-1).sum(dim=1).tolist()
    texts = batch.as_text().text
    return tuple(f"[{n} embeddings] {text}" if n else text for n, text in zip(soft, texts, strict=True))


def _show(panel: Axes, image: Tensor) -> None:
    picture = image.detach().float().cpu()
    if not bool(picture.isfinite().all()):
        panel.text(0.5, 0.5, "no picture", ha="center", va="center", transform=panel.transAxes)
        picture = torch.ones_like(picture)
    panel.imshow(picture.permute(1, 2, 0).clamp(0, 1).numpy(), interpolation="nearest")
    panel.set_xticks([])
    panel.set_yticks([])


def _frame(panel: Axes, is_shown: bool) -> None:
    for edge in panel.spines.values():
        edge.set_color("#D55E00" if is_shown else "#BBBBBB")
        edge.set_linewidth(3.0 if is_shown else 0.8)
