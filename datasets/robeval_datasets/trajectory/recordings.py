"""Recorded tracks: rows of a file on a regular time grid, checked, and cut into examples."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from numpy import ndarray as Array
from torch import Tensor

from robeval.domains.trajectory.batch import VEHICLES, SceneBatch
from robeval.errors import DataError, OptionError
from robeval_datasets.trajectory.windows import Candidates, Window, assemble, chord_heading

MOST_GAP_S = 2.0
MOST_LANES = 16
KIND_NAMES = {"small": 1, "big": 2, "pedestrian": 3, "cycle": 4}
ALLOW_HELP = "who may be a target: vehicles, or names joined by + of small, big, pedestrian, cycle"
_CELLS = 2_000_000  # candidate-frames handled at once


@dataclass(frozen=True)
class Recording:
    """One scene on a regular grid of frames, in the source's coordinates; absent frames hold 0."""

    name: str
    agents: tuple[str, ...]
    position: Float[Array, "agents frames 2"]
    present: Bool[Array, "agents frames"]
    kind: Int[Array, " agents"]
    heading: Float[Array, "agents frames"]
    size: Float[Array, "agents 2"]
    ego: Float[Array, "frames 2"]
    lanes: Float[Array, "lanes points 2"] = field(default_factory=lambda: np.zeros((0, 2, 2)))
    context: Bool[Array, " agents"] | None = None
    """Agents that are never a target (the recording vehicle)."""


@dataclass(frozen=True)
class Rows:
    """The rows of a file: one agent in one frame each; `frame` counts steps of the time grid."""

    frame: Int[Array, " rows"]
    agent: Int[Array, " rows"]
    position: Float[Array, "rows 2"]
    kind: Int[Array, " rows"]
    size: Float[Array, "rows 2"]
    heading: Float[Array, " rows"]

    def select(self, chosen: Array) -> "Rows":
        """Some of the rows."""
        return Rows(**{name: value[chosen] for name, value in vars(self).items()})


def recording(name: str, source: object, rows: Rows, dt: float) -> Recording:
    """Rows as dense arrays.

    A row given twice: the last wins, with a warning. An agent that is away for more than 2 s comes back as
    another one. Headings that the source does not have (NaN) are taken from the positions. Raises DataError
    for values that are not finite and for files without rows.
    """
    if not len(rows.frame):
        raise DataError(f"{source}: no rows; expected at least one agent in one frame")
    _check_finite(name, source, rows)
    rows = _without_duplicates(name, source, rows)
    agent, names = _split_reused(rows, dt)
    first = rows.frame.min()
    frame = rows.frame - first
    shape = (len(names), int(frame.max()) + 1)
    position, present = np.zeros((*shape, 2)), np.zeros(shape, dtype=bool)
    position[agent, frame], present[agent, frame] = rows.position, True
    heading = np.full(shape, np.nan)
    heading[agent, frame] = rows.heading
    chord = chord_heading(torch.from_numpy(position), torch.from_numpy(present)).numpy()
    kind, size = np.zeros(len(names), dtype=np.int64), np.zeros((len(names), 2))
    kind[agent], size[agent] = rows.kind, rows.size
    heading = np.where(np.isnan(heading), chord, heading)
    nobody = np.full((shape[1], 2), np.nan)
    return Recording(name, names, position, present, kind, heading, size, nobody)


def _check_finite(name: str, source: object, rows: Rows) -> None:
    bad = ~np.isfinite(rows.position).all(axis=1)
    if bad.any():
        k = int(bad.argmax())
        raise DataError(
            f"{source}: position {rows.position[k].tolist()} of object {rows.agent[k]} in frame "
            f"{rows.frame[k]} "
            f"of scene '{name}' is not finite ({int(bad.sum())} such rows); remove or repair the rows"
        )


def _without_duplicates(name: str, source: object, rows: Rows) -> Rows:
    """The last row of every (agent, frame), ordered by agent and frame."""
    order = np.lexsort((np.arange(len(rows.frame)), rows.frame, rows.agent))
    rows = rows.select(order)
    again = (np.diff(rows.agent) == 0) & (np.diff(rows.frame) == 0)
    if again.any():
        k = int(again.argmax())
        warnings.warn(
            f"{source}: scene '{name}' gives {int(again.sum())} rows twice, first object "
            f"{rows.agent[k]} in frame "
            f"{rows.frame[k]}; the last one is used",
            stacklevel=2,
        )
    return rows.select(np.append(~again, True))


def _split_reused(rows: Rows, dt: float) -> tuple[Array, tuple[str, ...]]:
    """A number for every row's agent, and the agents' names; a gap above 2 s starts a new agent."""
    other = np.diff(rows.agent, prepend=rows.agent[0]) != 0
    away = (np.diff(rows.frame, prepend=rows.frame[0]) * dt > MOST_GAP_S + 1e-6) & ~other
    starts = other | away
    number = np.cumsum(starts)
    heads = np.append(0, np.nonzero(starts)[0])
    part = np.zeros(len(heads), dtype=np.int64)
    for k in range(1, len(heads)):
        part[k] = part[k - 1] + 1 if away[heads[k]] else 0
    names = (f"{rows.agent[row]}" + (f"#{p}" if p else "") for row, p in zip(heads, part, strict=True))
    return number, tuple(names)


def allowed_kinds(text: str) -> tuple[int, ...]:
    """The kinds behind the option `allow_types`.

    Raises OptionError with the name that is none.
    """
    if text == "vehicles":
        return VEHICLES
    kinds = []
    for name in text.split("+"):
        if name.strip() not in KIND_NAMES:
            raise OptionError(
                f"allow_types='{text}': '{name}' is none of vehicles, {', '.join(KIND_NAMES)} "
                "(join several with +)"
            )
        kinds.append(KIND_NAMES[name.strip()])
    return tuple(kinds)


def cut(
    recordings: Sequence[Recording],
    window: Window,
    agents: int,
    allow: tuple[int, ...],
    stride: int = 1,
) -> list[SceneBatch]:
    """Every example of the recordings: targets of the allowed kinds that are seen in every frame of the span.

    Tracks that are too short or interrupted stay as neighbours. The list is empty when there is no example.
    """
    return [
        gather(scene, window, agents, start, who)
        for scene in recordings
        for start, who in _places(scene, window, allow, stride)
    ]


def is_complete(scene: Recording, window: Window) -> Bool[Array, "agents starts"]:
    """Whether an agent is seen in every frame of a span that begins in a frame."""
    count = max(scene.present.shape[1] - window.frames + 1, 0)
    seen = np.cumsum(np.pad(scene.present, ((0, 0), (1, 0))), axis=1)
    return np.asarray(seen[:, window.frames :][:, :count] - seen[:, :count] == window.frames)


def _places(
    scene: Recording, window: Window, allow: tuple[int, ...], stride: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """First frames and agents of all examples of a recording, in portions."""
    complete = is_complete(scene, window) & np.isin(scene.kind, allow)[:, None]
    complete &= np.arange(complete.shape[1]) % stride == 0
    if scene.context is not None:
        complete &= ~scene.context[:, None]
    places = torch.from_numpy(np.argwhere(complete.T))
    crowd = 2 * int(scene.present.sum(axis=0).max())
    portion = max(1, _CELLS // (crowd * window.frames))
    for first in range(0, len(places), portion):
        start, who = places[first : first + portion].T.contiguous()
        yield start, who


def gather(
    scene: Recording,
    window: Window,
    agents: int,
    start: Int64[Tensor, " batch"],
    who: Int64[Tensor, " batch"],
) -> SceneBatch:
    """The examples of `scene` that begin in frames `start` with targets `who`."""
    first, last = int(start.min()), int(start.max()) + window.frames
    alive = torch.from_numpy(scene.present[:, first:last].any(axis=1)).nonzero().squeeze(1)

    def sliced(value: Array) -> Tensor:
        spans = torch.from_numpy(value)[alive, first:last].unfold(1, window.frames, 1).transpose(0, 1)
        chosen = spans[start - first]
        return chosen.transpose(2, 3) if chosen.dim() == 4 else chosen

    count = len(start)
    candidates = Candidates(
        position=sliced(scene.position),
        present=sliced(scene.present),
        kind=torch.from_numpy(scene.kind)[alive].to(torch.int8).expand(count, -1),
        heading=sliced(scene.heading),
        size=torch.from_numpy(scene.size)[alive].expand(count, -1, -1),
        target=torch.searchsorted(alive, who.contiguous()),
        ego=torch.from_numpy(scene.ego)[start.unsqueeze(1) + torch.arange(window.frames)],
        lanes=_nearest_lanes(scene.lanes, torch.from_numpy(scene.position)[who, start + window.history - 1]),
    )
    ids = tuple(
        f"{scene.name}/{scene.agents[k]}@{frame}"
        for frame, k in zip(start.tolist(), who.tolist(), strict=True)
    )
    return assemble(candidates, window, agents, ids, blocks(scene, window, start))


def blocks(scene: Recording, window: Window, start: Int64[Tensor, " batch"]) -> tuple[str, ...]:
    """The cluster of each example: its scene, or its stretch of time in a long recording.

    One recording of a quarter of an hour is not one observation. Stretches are twice an example long, so that
    most examples that share frames share a stretch (a block bootstrap).
    """
    length = 2 * window.frames
    if scene.present.shape[1] < 10 * length:
        return (scene.name,) * len(start)
    return tuple(f"{scene.name}#{number}" for number in (start // length).tolist())


def _nearest_lanes(lanes: Array, here: Float64[Tensor, "batch 2"]) -> Float64[Tensor, "batch lanes points 2"]:
    """The lanes that come nearest to each target, at most 16."""
    lines = torch.from_numpy(lanes).double()
    away = (lines - here.view(-1, 1, 1, 2)).norm(dim=-1).nan_to_num(nan=torch.inf).amin(dim=2)
    return lines[away.argsort(dim=1, stable=True)[:, :MOST_LANES]]


def between(rows: Rows, low: float, high: float) -> Rows:
    """The rows between two shares of a recording's time."""
    if not len(rows.frame):
        return rows
    since = rows.frame - rows.frame.min()
    length = since.max() + 1
    return rows.select((since >= np.floor(low * length)) & (since < np.floor(high * length)))
