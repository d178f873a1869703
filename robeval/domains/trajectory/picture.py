"""What a person looks at: what was driven and what was predicted, clean beside adversarial, in one frame."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from robeval.domains.trajectory.batch import PAD, Prediction, SceneBatch
from robeval.domains.trajectory.metrics import ade
from robeval.plugins.contracts import Trial

COLUMNS = 2
PANEL_IN = 4.4
MARGIN_M = 4.0
LEAST_VIEW_M = 16.0
LEAST_ASIDE_M = 0.5
SCALES_M = (1, 2, 5, 10, 20, 50, 100, 200)


class Look(NamedTuple):
    """How a line is drawn; each differs from the others in colour and in shape, to be read in grey."""

    colour: str
    marker: str
    style: Literal["-", "--", ":"]
    filled: bool = True

    def draw(self, panel: Axes, points: Tensor, width: float = 1.8, order: int = 5) -> None:
        """A line through points [n, 2] with a mark at each."""
        panel.plot(
            *points.T.numpy(), color=self.colour, linestyle=self.style, linewidth=width, zorder=order,
            marker=self.marker, markersize=4.5, markerfacecolor=self.colour if self.filled else "white",
        )  # fmt: skip

    def entry(self, label: str) -> Line2D:
        """Its place in the legend."""
        face = self.colour if self.filled else "white"
        return Line2D(
            [],
            [],
            color=self.colour,
            marker=self.marker,
            linestyle=self.style,
            markerfacecolor=face,
            label=label,
        )


# Blue and vermilion of Okabe and Ito's palette.
CLEAN, ADVERSARIAL = Look("#0072B2", "s", "-"), Look("#D55E00", "^", "--")
CLEAN_PREDICTION, ADVERSARIAL_PREDICTION = CLEAN._replace(filled=False), ADVERSARIAL._replace(filled=False)
TRUTH = Look("#000000", "o", ":")
NEIGHBOUR, EGO = Look("#8A8A8A", "o", "-"), Look("#8A8A8A", "D", "-")
LEGEND = {
    "clean history": CLEAN,
    "adversarial history": ADVERSARIAL,
    "prediction from clean": CLEAN_PREDICTION,
    "prediction under attack": ADVERSARIAL_PREDICTION,
    "true future": TRUTH,
    "neighbour, last seen at the dot": NEIGHBOUR,
    "ego": EGO,
}


def draw(trial: Trial[SceneBatch], title: str = "") -> Figure:
    """Two panels per example: the scene with both predictions, and the two histories close up.

    The scene has north up and one scale for both axes; the close-up is stretched sideways, since what an
    attack moves is small beside the way. With several windows the first one is drawn. The figure belongs to
    no backend: save it with `Figure.savefig`.
    """
    count = len(trial.clean)
    columns = min(count, COLUMNS)
    rows = math.ceil(count / columns)
    size = (PANEL_IN * 1.75 * columns, PANEL_IN * rows + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    panels = figure.subplots(rows, 2 * columns, squeeze=False, width_ratios=[1.0, 0.68] * columns)
    for number, (overview, close_up) in enumerate(panels.reshape(-1, 2)):
        if number < count:
            example = _one(trial, number)
            _overview(overview, example)
            _close_up(close_up, example)
        else:
            overview.set_axis_off()
            close_up.set_axis_off()
    if title:
        figure.suptitle(title, fontsize=11)
    handles = [look.entry(label) for label, look in LEGEND.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return figure


def _one(trial: Trial[SceneBatch], number: int) -> Trial[SceneBatch]:
    """One example, on the CPU."""

    def cut(output: Prediction) -> Prediction:
        return Prediction(*(value[number : number + 1].detach().cpu() for value in output))

    def alone(batch: SceneBatch) -> SceneBatch:
        one = batch.select([number]).to("cpu")
        return one.replace(track=one.track.detach())

    adversarial = alone(trial.adversarial)
    return Trial(trial.victim, alone(trial.clean), adversarial, cut(trial.clean_output), cut(trial.output))


def _histories(trial: Trial[SceneBatch]) -> tuple[Tensor, Tensor]:
    """Clean and adversarial positions in the frames that the first window sees: [frames, 2] each."""
    clean = trial.clean
    seen = clean.present[0, 0, : clean.history]
    return clean.target[0, : clean.history][seen], trial.adversarial.target[0, : clean.history][seen]


def _overview(panel: Axes, trial: Trial[SceneBatch]) -> None:
    clean = trial.clean
    history, driven = _histories(trial)
    truth = clean.future()[0, 0][clean.future_present()[0, 0]]
    _lanes(panel, clean)
    _neighbours(panel, clean)
    TRUTH.draw(panel, truth, 1.4, 5)
    errors = []
    outputs = (
        (trial.clean_output, CLEAN_PREDICTION, history),
        (trial.output, ADVERSARIAL_PREDICTION, driven),
    )
    for output, look, past in outputs:
        _prediction(panel, output, past[-1:], look)
        errors.append(float(ade(output.most_likely(), clean.future(), clean.future_present())[0, 0]))
    CLEAN.draw(panel, history, 2.0, 7)
    ADVERSARIAL.draw(panel, driven, 2.0, 8)
    _frame(panel, [history, driven, truth, *(output.most_likely()[0, 0] for output, *_ in outputs)])
    regime = f" · {clean.regime[0]} speed" if clean.regime[0] else ""
    panel.set_title(f"{clean.ids[0]}{regime}\nADE {errors[0]:.2f} m → {errors[1]:.2f} m", fontsize=9)


def _close_up(panel: Axes, trial: Trial[SceneBatch]) -> None:
    """The histories in the frame of the clean one: how far along the way, how far aside of it."""
    history, driven = _histories(trial)
    if not len(history):
        panel.set_axis_off()
        return
    way = history[-1] - history[0]
    length = float(way.norm())
    along = way / length if length > 0 else torch.tensor([1.0, 0.0])
    frame = torch.stack([along, torch.stack([-along[1], along[0]])], dim=1)
    before, after = ((points - history[-1]) @ frame for points in (history, driven))
    CLEAN.draw(panel, before, 1.8, 5)
    ADVERSARIAL.draw(panel, after, 1.8, 6)
    low, high = panel.get_ylim()
    middle, half = (low + high) / 2, max((high - low) / 2, LEAST_ASIDE_M)
    panel.set_ylim(middle - half, middle + half)
    panel.set_xlabel("metres along its way", fontsize=8)
    panel.set_ylabel("metres to its left", fontsize=8)
    panel.tick_params(labelsize=7)
    panel.locator_params(axis="x", nbins=5)
    panel.grid(color="#E5E5E5", linewidth=0.6)
    panel.set_axisbelow(True)
    _edges(panel)
    deviation = float((driven - history).norm(dim=-1).max())
    panel.set_title(f"history close up (stretched)\nmoved by up to {deviation:.2f} m", fontsize=9)


def _prediction(panel: Axes, output: Prediction, start: Tensor, look: Look) -> None:
    """All modes faint, the most likely one bold."""
    modes = output.paths[0, 0]
    for path in modes if len(modes) > 1 else ():
        points = torch.cat([start, path]).T.numpy()
        panel.plot(*points, color=look.colour, linewidth=0.9, linestyle=look.style, alpha=0.45, zorder=3)
    look.draw(panel, torch.cat([start, output.most_likely()[0, 0]]), 1.8, 6)


def _lanes(panel: Axes, scenes: SceneBatch) -> None:
    lines = [lane[np.isfinite(lane).all(axis=1)] for lane in scenes.lanes[0].numpy()]
    lines = [line for line in lines if len(line) > 1]
    panel.add_collection(LineCollection(lines, colors="#DDDDDD", linewidths=5.0, zorder=0), autolim=False)
    centre = LineCollection(lines, colors="#FFFFFF", linewidths=0.8, linestyles="dashed", zorder=1)
    panel.add_collection(centre, autolim=False)


def _neighbours(panel: Axes, scenes: SceneBatch) -> None:
    """Where the others were while the target was watched: a dot at the end, a diamond for the ego."""
    others = scenes.track[0, 1:, : scenes.history].numpy()
    present = (scenes.present[0, 1:, : scenes.history] & (scenes.kind[0, 1:, None] != PAD)).numpy()
    tracks = [(track[here], NEIGHBOUR) for track, here in zip(others, present, strict=True)]
    ego = scenes.ego[0, : scenes.history].numpy()
    tracks.append((ego[np.isfinite(ego).all(axis=1)], EGO))
    for track, look in tracks:
        panel.plot(*track.T, color=look.colour, linewidth=1.4, zorder=2)
        panel.plot(*track[-1:].T, color=look.colour, marker=look.marker, markersize=6, mec="white", zorder=2)


def _frame(panel: Axes, seen: Sequence[Tensor]) -> None:
    """A square view around what matters, with a scale bar in place of axes."""
    points = torch.cat([value.reshape(-1, 2) for value in seen])
    points = points[points.isfinite().all(dim=1)]
    low, high = (points.amin(0), points.amax(0)) if len(points) else (torch.zeros(2), torch.zeros(2))
    x, y = ((low + high) / 2).tolist()
    half = max(float((high - low).max()) / 2 + MARGIN_M, LEAST_VIEW_M / 2)
    panel.set(xlim=(x - half, x + half), ylim=(y - half, y + half), xticks=[], yticks=[])
    panel.set_aspect("equal", adjustable="box")
    _edges(panel)
    bar = max(scale for scale in SCALES_M if scale <= half / 2 or scale == SCALES_M[0])
    left, bottom = x - 0.94 * half, y - 0.92 * half
    panel.plot([left, left + bar], [bottom, bottom], color="black", linewidth=2.5, zorder=9)
    panel.text(
        left + bar / 2, bottom + 0.02 * half, f"{bar} m", ha="center", va="bottom", fontsize=8, zorder=9
    )


def _edges(panel: Axes) -> None:
    for edge in panel.spines.values():
        edge.set_color("#BBBBBB")
