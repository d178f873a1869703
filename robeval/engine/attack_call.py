"""One call of an attack: it gets a view and its examples, and what comes back is the same batch or refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from robeval.arrays import Batch
from robeval.engine.pace import Stopwatch, Took
from robeval.engine.stage import Stage
from robeval.errors import AccessError, PluginError, QueryBudgetSpent, UsageError
from robeval.plugins.contracts import Attack
from robeval.plugins.freezing import under_attack
from robeval.plugins.threat import ThreatModel
from robeval.plugins.views import View


def call_attack(
    stage: Stage, attack: Attack[Any], clean: Batch, passes: Callable[[int], None]
) -> tuple[Batch, View[Any], Took]:
    """What the attack made of its examples, what it asked for that, and how long it took.

    Raises PluginError for an answer that is no batch like the one it was given, and AccessError where the attack
    wants more than its grant.
    """
    prepared = stage.prepared.result if stage.prepared else None
    view: View[Any] = View(
        stage.attacked,
        stage.domain,
        stage.threat,
        clean.ids,
        passes,
        draws=stage.draws,
        prepared=prepared,
        original=partial(_beside, stage.original, clean.device) if stage.original else None,
    )
    draw = stage.seed.draws(clean.ids, clean.device)
    watch = Stopwatch(clean.device)
    with under_attack(stage.attacked):
        try:
            adversarial = attack.perturb(view, clean, stage.budget, draw)
        except QueryBudgetSpent:
            adversarial = view.submitted if view.submitted is not None else clean
        except UsageError as error:
            raise PluginError(f"{type(attack).__name__}: {error}") from error
        except RuntimeError as error:
            if stage.threat.access != "white-box" and "does not require grad" in str(error):
                raise AccessError(_without_gradient(attack, stage.threat)) from error
            raise
        finally:
            view.close()
    took = watch.stop()
    if type(adversarial) is not type(clean):
        raise PluginError(
            f"{type(attack).__name__}.perturb must return a {type(clean).__name__}, "
            f"not {type(adversarial).__name__}"
        )
    if adversarial.ids != clean.ids:
        raise PluginError(
            f"{type(attack).__name__}.perturb must return the examples it was given, in their order: "
            f"{len(clean)} went in, {len(adversarial)} came back"
        )
    for name, value in clean.tensors().items():
        other = getattr(adversarial, name)
        if not isinstance(other, Tensor) or not _is_alike(other, value):
            raise PluginError(
                f"{type(attack).__name__}.perturb changed '{name}': expected {_looks(value)}, "
                f"got {_looks(other) if isinstance(other, Tensor) else type(other).__name__}"
            )
    mine = clean.tensors()
    detached = {name: value.detach().to(mine[name].dtype) for name, value in adversarial.tensors().items()}
    return adversarial.replace(**detached), view, took


def _is_alike(other: Tensor, value: Tensor) -> bool:
    """Same shape, device and type; arithmetic in single precision may come back to a run in half."""
    halved = value.dtype in (torch.bfloat16, torch.float16) and other.is_floating_point()
    is_typed = other.dtype == value.dtype or halved
    return other.shape == value.shape and other.device == value.device and is_typed


def _looks(value: Tensor) -> str:
    return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')} on {value.device}"


def _without_gradient(attack: Attack[Any], threat: ThreatModel) -> str:
    return (
        f"{type(attack).__name__} wants a gradient, but its threat model grants access '{threat.access}', "
        "whose answers carry none. Declare ThreatModel(access='white-box') if the attacker has the weights."
    )


def _beside(original: Callable[[], nn.Module], device: torch.device) -> nn.Module:
    return original().to(device)
