"""Pictures: everything that matters is in them, and they touch no global state."""

import io
import math
from collections.abc import Callable

import matplotlib
import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Prediction, SceneBatch
from robeval.domains.trajectory.domain import Trajectory
from robeval.domains.trajectory.picture import ADVERSARIAL, CLEAN, LEGEND, TRUTH, Look
from robeval.plugins.contracts import Trial


def lines(figure: Figure, panel: int, look: Look) -> list[list[list[float]]]:
    """The points of every line of that look in a panel, single points apart."""
    drawn = [
        line
        for line in figure.axes[panel].lines
        if line.get_color() == look.colour and line.get_marker() == look.marker
        and (line.get_markerfacecolor() == "white") != look.filled
    ]  # fmt: skip
    return [line.get_xydata().tolist() for line in drawn]


@pytest.fixture
def attacked(straight_track: Callable[..., Tensor], scene_of: Callable[..., SceneBatch], predict) -> Trial:
    """Two scenes with an ego and a lane; the second frame was moved 0.6 m aside, the prediction 4 m."""
    tracks = torch.cat([straight_track(5.0), straight_track(8.0)])
    lanes = torch.tensor([[[-60.0, 0.0], [90.0, 0.0], [math.nan, math.nan]]]).expand(2, 1, 3, 2)
    clean = scene_of(tracks, ego=tracks - torch.tensor([12.0, 3.7]), lanes=lanes)
    offset = torch.zeros(2, 4, 2)
    offset[:, 1, 1] = 0.6
    before = predict(clean, (0.0, 1.0), (0.0, -2.0), probability=(0.7, 0.3))
    after = predict(clean, (0.0, 4.0), (0.0, 5.0), probability=(0.7, 0.3))
    return Trial(nn.Identity(), clean, clean.moved(offset), before, after)


def test_both_histories_and_both_predictions_are_drawn(attacked: Trial) -> None:
    """The scene shows what was driven, what was predicted and what came, each with its own look."""
    figure = Trajectory().picture(attacked, "worst")
    for look, points in (
        (CLEAN, attacked.clean.target[0, :4]),
        (ADVERSARIAL, attacked.adversarial.target[0, :4]),
        (TRUTH, attacked.clean.future()[0, 0]),
    ):
        assert lines(figure, 0, look) == [points.tolist()]
    for look, output in ((CLEAN, attacked.clean_output), (ADVERSARIAL, attacked.output)):
        (path,) = lines(figure, 0, look._replace(filled=False))
        assert path[1:] == output.most_likely()[0, 0].tolist()


def test_one_picture_may_hold_several_examples(attacked: Trial) -> None:
    """Each example has a scene, named after it with its errors, and a close-up with its deviation."""
    figure = Trajectory().picture(attacked, "worst")
    titles = [panel.get_title() for panel in figure.axes]
    assert [title.split(" ")[0] for title in titles[::2]] == list(attacked.clean.ids)
    assert all("1.00 m → 4.00 m" in title for title in titles[::2])
    assert all("0.60 m" in title for title in titles[1::2])
    assert figure.get_suptitle() == "worst"


def test_the_scene_has_one_scale_for_both_axes(attacked: Trial) -> None:
    """A metre east is as long as a metre north."""
    assert Trajectory().picture(attacked).axes[0].get_aspect() == 1.0


def test_looks_differ_without_colour() -> None:
    """No two entries of the legend share marker, line and filling, so a picture can be read in grey."""
    shapes = [(look.marker, look.style, look.filled) for look in LEGEND.values()]
    assert len(set(shapes)) == len(shapes)


def test_pictures_can_be_saved_without_a_display(attacked: Trial) -> None:
    """PNG and SVG come out of the figure itself; no window and no backend is asked for."""
    backend = matplotlib.rcParams._get_backend_or_none()
    figure = Trajectory().picture(attacked)
    for format, start in (("png", b"\x89PNG"), ("svg", b"<?xml")):
        stream = io.BytesIO()
        figure.savefig(stream, format=format, dpi=40)
        assert stream.getvalue().startswith(start)
    assert matplotlib.rcParams._get_backend_or_none() == backend


def test_poor_scenes_can_be_drawn(straight_scene: SceneBatch, predict) -> None:
    """No ego, no lanes, a target that is gone, a NaN prediction and live gradients are no obstacle."""
    present = straight_scene.present.clone()
    present[:, 0, 1:] = False
    output = predict(straight_scene)
    broken = Prediction(output.paths * math.nan, output.probability)
    live = straight_scene.replace(track=straight_scene.track.clone().requires_grad_())
    for clean in (straight_scene, straight_scene.replace(present=present), live):
        figure = Trajectory().picture(Trial(nn.Identity(), clean, clean, output, broken))
        figure.savefig(io.BytesIO(), format="png", dpi=30)
        assert len(lines(figure, 0, CLEAN)) == 1
