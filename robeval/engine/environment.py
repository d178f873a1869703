"""Where and with what a run was made."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

import torch

from robeval import __version__
from robeval.results.records import Environment

PACKAGES = ("torch", "pytorch-lightning", "numpy", "scipy", "pyarrow", "safetensors", "nuscenes-devkit")


def environment() -> Environment:
    """Versions, hardware and the git state of the working folder."""
    device = torch.cuda.get_device_name(0) if torch.cuda.is_available() else platform.processor() or "cpu"
    return Environment(
        robeval=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        packages={name: found for name in PACKAGES if (found := _version(name))},
        device=device,
        threads=torch.get_num_threads(),
        git=_git(),
    )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git() -> str | None:
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty"], capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None
