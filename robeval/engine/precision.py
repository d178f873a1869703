"""Lightning's precisions for batches that are frozen dataclasses, which its own converters refuse."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.plugins.precision import DoublePrecision, HalfPrecision

from robeval.arrays import Batch
from robeval.engine.experiment import Execution
from robeval.engine.memory import check_limit
from robeval.engine.quiet import quiet_lightning
from robeval.errors import UsageError


def converted(data: Any, dtype: torch.dtype) -> Any:
    """Batches with their float32 tensors in `dtype`, also inside tuples. Other widths (an origin in float64) stay."""
    if isinstance(data, tuple) and not hasattr(data, "_fields"):
        return tuple(converted(item, dtype) for item in data)
    if not isinstance(data, Batch):
        return data
    single = {name: value for name, value in data.tensors().items() if value.dtype == torch.float32}
    return data.replace(**{name: value.to(dtype) for name, value in single.items()})


class BatchDouble(DoublePrecision):
    """Everything in float64."""

    def convert_input(self, data: Any) -> Any:
        """The batch in float64."""
        return converted(data, torch.double)


class BatchHalf(HalfPrecision):
    """Everything in bfloat16 or float16."""

    def convert_input(self, data: Any) -> Any:
        """The batch in the half type."""
        return converted(data, self._desired_input_dtype)


def trainer_arguments(execution: Execution) -> dict[str, Any]:
    """What every Trainer is given: where to run, how precisely, and no noise. One device, unless a cell is spread.

    Raises UsageError for a precision or device that Lightning does not know.
    """
    given: dict[str, Any] = {
        "accelerator": execution.accelerator,
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    match execution.precision:
        case "64-true" | "64":
            return given | {"plugins": [BatchDouble()]}
        case "bf16-true" | "16-true" as half:
            return given | {"plugins": [BatchHalf(half)]}
        case other:
            return given | {"precision": other}


def check_execution(execution: Execution) -> None:
    """Refuse what cannot run before anything does. Raises UsageError."""
    check_limit(execution.most_bytes)
    from robeval.engine.devices import check_devices

    arguments = trainer_arguments(execution) | {"devices": check_devices(execution)}
    try:
        with quiet_lightning():
            Trainer(**arguments)
    except Exception as error:
        raise UsageError(
            f"Lightning cannot run with accelerator '{execution.accelerator}', devices "
            f"'{execution.devices}', precision '{execution.precision}': {error}"
        ) from None
