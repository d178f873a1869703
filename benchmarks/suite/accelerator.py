"""PGD on an accelerator: how fast, and what share of what the device can do."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import nn

from benchmarks.arithmetic import middle, ratio
from benchmarks.frame import Claim, Figure, Measured, NotHere
from benchmarks.images.libraries import Task, bare, ours
from benchmarks.images.models import Conv, PatchTransformer, pictures
from benchmarks.turns import in_turns, say

BATCHES = (64, 512, 2048, 8192)
STEPS, ROUNDS = 20, 5
SHARE = 1 / 1.1
MATRIX = 8192


def measure(quick: bool) -> Measured:
    """Batches until the device is full, for a convolutional and a transformer model wide enough to fill it."""
    if not torch.cuda.is_available():
        raise NotHere("needs a CUDA device")
    peak = matrix_tflops(1024 if quick else MATRIX)
    rows: list[tuple[Figure | str, ...]] = []
    claims = []
    torch.manual_seed(0)
    models: dict[str, nn.Module] = {"convolutional": Conv(width=128), "transformer": PatchTransformer(384, 6)}
    for name, model in models.items():
        placed = model.cuda().eval().requires_grad_(False)
        for size in BATCHES[:2] if quick else BATCHES:
            row, share = _filled(name, placed, size, peak)
            rows.append(row)
            say(f"{name}, {size} examples: {share} of its bare passes' speed")
        claims.append(
            Claim(
                what=f"PGD on a {name} model, {size:,} a batch: share of the bare passes' speed",
                figure=share,
                at_least=SHARE,
            )
        )
    return Measured(
        columns=(
            "model",
            "examples a batch",
            "examples × steps a second",
            "share of its bare passes' speed",
            "TFLOP/s",
            "share of the matrix product's",
        ),
        rows=tuple(rows),
        claims=tuple(claims),
        notes=(
            f"Measured matrix product ({MATRIX} × {MATRIX}, float32 as PyTorch is set): {peak:.1f} TFLOP/s.",
        ),
    )


def _filled(name: str, model: nn.Module, size: int, peak: float) -> tuple[tuple[Figure | str, ...], Figure]:
    batch = pictures(size, torch.Generator().manual_seed(5)).to("cuda")
    task = Task(model, batch, 8 / 255, 2 / 255, STEPS)
    plain, attack = bare(task), ours(task)
    times = in_turns({"bare": lambda: plain(0), "ours": lambda: attack(0)}, ROUNDS, _clock)
    per_second = [size * STEPS / t for t in times["ours"]]
    share = ratio(times["bare"], times["ours"], "")
    flops = pass_flops(model, batch.picture)
    speed = middle([flops * STEPS / t / 1e12 for t in times["ours"]], "")
    against = Figure(value=speed.value / peak)
    return (name, f"{size:,}", middle(per_second), share, speed, against), share


def _clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def matrix_tflops(side: int) -> float:
    """The device's own speed at what it does best, 10^12 operations a second."""
    left, right = (torch.randn(side, side, device="cuda") for _ in range(2))
    times = in_turns({"product": lambda: left @ right}, 10, _clock)
    return 2 * side**3 / min(times["product"]) / 1e12


def pass_flops(model: Callable[[torch.Tensor], torch.Tensor], picture: torch.Tensor) -> float:
    """Operations of one pass forward and back to the pictures, as PyTorch counts them."""
    from torch.utils.flop_counter import FlopCounterMode

    live = picture.clone().requires_grad_()
    with FlopCounterMode(display=False) as counter:
        model(live).sum().backward()  # the counter refuses autograd.grad
    return float(counter.get_total_flops())
