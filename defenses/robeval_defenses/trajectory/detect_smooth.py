"""Smoothing only the histories that a detector suspects."""

from dataclasses import dataclass
from typing import Annotated, cast

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from robeval.domains.trajectory.batch import Observation, SceneBatch
from robeval.domains.trajectory.detector import Detector, DetectorKind
from robeval.errors import OptionError
from robeval.plugins.contracts import Defense
from robeval.plugins.data import Dataset
from robeval.seeding import Seed
from robeval_defenses.trajectory.around import Around, predictor
from robeval_defenses.trajectory.filters import Kernel, LastPoint
from robeval_defenses.trajectory.inner_attack import worst_offset
from robeval_defenses.trajectory.smoothing import smooth_observation
from robeval_defenses.trajectory.training import random_offset, single_windows

_CALIBRATION_EXAMPLES = 4096
_SVM_EXAMPLES = 512


@dataclass(frozen=True)
class DetectSmooth(Defense):
    """Smooth a scene's histories where a detector finds the target's history suspicious.

    Thresholds are calibrated per speed class on the training split. An attacker's gradient is exact on its
    side of the switch; `suspicion` of the hardened victim is a soft measure for attacks that want to pass
    below it.

    Source: Zhang et al., arXiv:2201.05057 (detection and conditional smoothing).
    Differs: thresholds depend on speed and are calibrated (the published constants exist for one data
    set); the SVM's features are ours; the two-sided detector also finds tracks that are smoother than real
    ones.
    """

    detector: Annotated[DetectorKind, Field(description="the statistic that raises the alarm")] = "variance"
    false_alarms: Annotated[
        float, Field(gt=0, lt=1, description="rate of alarms on clean training tracks")
    ] = 0.05
    two_sided: Annotated[
        bool, Field(description="also alarm on tracks that are too smooth (not for svm)")
    ] = False
    kernel: Annotated[Kernel, Field(description="the filter, as in smoothing")] = "mean3"
    smooth_last: Annotated[LastPoint, Field(description="what becomes of the last position")] = "keep"

    def __post_init__(self) -> None:
        if self.detector == "svm" and self.two_sided:
            raise OptionError(
                "detector=svm has one side only; leave two_sided out or choose variance or cusum"
            )

    def harden(self, victim: nn.Module, data: Dataset, seed: Seed) -> nn.Module:
        """The victim behind the calibrated switch."""
        train = cast(SceneBatch, data.split("train"))
        rows = single_windows(train.select(slice(0, _CALIBRATION_EXAMPLES)))
        tracks = rows.target[:, : rows.history]
        detector = Detector.calibrated(
            tracks,
            self.false_alarms,
            self.detector,
            two_sided=self.two_sided,
            suspicious=self._attacked(victim, rows, seed) if self.detector == "svm" else None,
            present=rows.present[:, 0, : rows.history],
        )
        return SwitchedSmoothing(victim, detector, self.kernel, self.smooth_last)

    def _attacked(self, victim: nn.Module, rows: SceneBatch, seed: Seed) -> Float[Tensor, "tracks history 2"]:
        """Randomly displaced and attacked histories, half and half, that the SVM learns from."""
        few = rows.select(slice(0, _SVM_EXAMPLES)).to(next(victim.parameters(), rows.track).device)
        few = few.select(few.present[:, 0, : few.history].all(dim=-1))
        draw = seed.child("svm").draws(few.ids, few.device)
        offsets = [
            random_offset(few, draw, deviation_m=1.0),
            worst_offset(predictor(victim), few, steps=5, step_m=0.3, deviation_m=1.0),
        ]
        return torch.cat([few.moved(offset).target[:, : few.history] for offset in offsets]).to(rows.device)


class SwitchedSmoothing(Around):
    """A predictor that sees smoothed histories where the target's own raises an alarm."""

    def __init__(
        self, victim: nn.Module, detector: Detector, kernel: Kernel = "mean3", smooth_last: LastPoint = "keep"
    ) -> None:
        super().__init__(victim)
        self.detector = detector
        self.kernel = kernel
        self.smooth_last = smooth_last

    def suspicion(self, seen: Observation) -> Float[Tensor, " rows"]:
        """How far the history is beyond the threshold; above 0 it will be smoothed. Differentiable."""
        return self.detector.suspicion(seen.past[:, 0], seen.present[:, 0])

    def alarm(self, batch: SceneBatch) -> Float[Tensor, " batch"]:
        """The suspicion of a scene's most suspicious window."""
        return self.suspicion(batch.observation()).view(len(batch), -1).amax(dim=1)

    def alarms(self, seen: Observation) -> Bool[Tensor, " rows"]:
        """Which rows will be smoothed."""
        return self.suspicion(seen) > 0

    def cleaned(self, seen: Observation) -> Observation:
        """The observation with every history smoothed where the target's raises an alarm."""
        smooth = smooth_observation(seen, self.kernel, self.smooth_last)
        past = torch.where(self.alarms(seen).view(-1, 1, 1, 1), smooth.past, seen.past)
        return seen.replace(past=past)
