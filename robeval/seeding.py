"""From one run seed to every random number, without any global state.

A `Seed` names a node of a tree of seeds. `Draws` are random numbers for a batch, one independent stream per
row, so a row's numbers depend on its example and on nothing else: neither batch size, nor order, nor neighbours,
nor device. Streams are counter based: element e of call c of a row is a hash of (row key, c, e), computed for the
whole batch at once (a torch.Generator per row would be a Python loop over examples).

Source: the mixing function is SplitMix64's finaliser (Steele, Lea, Flood, OOPSLA 2014).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


def _signed(value: int) -> int:
    """`value` modulo 2**64 as a signed number: PyTorch refuses larger Python integers."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def _shift(bits: Tensor, by: int) -> Tensor:
    return (bits >> by) & ((1 << (64 - by)) - 1)


def _mix(bits: Tensor) -> Tensor:
    bits = (bits ^ _shift(bits, 30)) * _FIRST
    bits = (bits ^ _shift(bits, 27)) * _SECOND
    return bits ^ _shift(bits, 31)


def _hash(*parts: object) -> int:
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big", signed=True)


@dataclass(frozen=True)
class Seed:
    """A node in the tree of seeds; children are reached by name and never collide by position."""

    value: int

    def child(self, *names: object) -> Seed:
        """The seed of a named part of the work."""
        return Seed(_hash(self.value, *names))

    def draws(self, ids: Sequence[str], device: torch.device | str = "cpu") -> Draws:
        """One stream per example, fixed by the example's id."""
        keys = torch.tensor([_hash(self.value, name) for name in ids], dtype=torch.long)
        return Draws(keys.to(device))

    def generator(self) -> torch.Generator:
        """For work that has no examples (shuffling, initial weights)."""
        return torch.Generator().manual_seed(self.value & ((1 << 63) - 1))

    def numpy(self) -> np.random.Generator:
        """The same for numpy."""
        return np.random.default_rng(self.value & ((1 << 63) - 1))

    def integer(self) -> int:
        """A non-negative integer below 2**31, for libraries that want one."""
        return self.value & ((1 << 31) - 1)


class Draws:
    """Random numbers for a batch: row i of every result comes from row i's own stream.

    Each call takes fresh numbers, so the order of calls matters and the neighbours do not.
    """

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self._call = 0

    def __len__(self) -> int:
        return len(self.keys)

    def repeat(self, times: int) -> Draws:
        """Streams for `times` restarts of each row, a row's restarts adjacent.

        Restart 0 continues no other stream; adding restarts does not change the earlier ones.
        """
        restart = torch.arange(times, device=self.keys.device).repeat(len(self.keys))
        return Draws(_mix(self.keys.repeat_interleave(times) + (restart + 1) * _GOLDEN))

    def select(self, rows: Tensor | slice) -> Draws:
        """The streams of some rows, at the same point."""
        chosen = Draws(self.keys[rows])
        chosen._call = self._call
        return chosen

    def fork(self, name: object) -> Draws:
        """Independent streams for a named part of the work."""
        return Draws(_mix(self.keys ^ _hash(name)))

    def bits(self, *shape: int) -> Tensor:
        """64 random bits each: int64 [rows, *shape]."""
        self._call += 1
        per_row = int(np.prod(shape, dtype=np.int64))
        start = _mix(self.keys + _signed(self._call * _SECOND))
        count = torch.arange(1, per_row + 1, device=self.keys.device, dtype=torch.long)
        return _mix(start.unsqueeze(1) + count * _GOLDEN).view(len(self.keys), *shape)

    def uniform(
        self, *shape: int, low: float = 0.0, high: float = 1.0, dtype: torch.dtype = torch.float32
    ) -> Tensor:
        """Uniform on [low, high): [rows, *shape]."""
        unit = _shift(self.bits(*shape), 11).to(torch.float64) * 2.0**-53
        value = (low + (high - low) * unit).to(dtype)
        # Rounding to a narrower type can reach the open end.
        below = torch.nextafter(torch.tensor(high, dtype=dtype), torch.tensor(low, dtype=dtype))
        return value.clamp_(max=below.item())

    def normal(self, *shape: int, std: float = 1.0, dtype: torch.dtype = torch.float32) -> Tensor:
        """Normal with mean 0: [rows, *shape]."""
        unit = (_shift(self.bits(*shape), 11).to(torch.float64) + 0.5) * 2.0**-53
        standard: Tensor = torch.special.ndtri(unit)
        return (standard * std).to(dtype)

    def integers(self, below: int, *shape: int) -> Tensor:
        """Integers in [0, below): int64 [rows, *shape]."""
        return (self.uniform(*shape, dtype=torch.float64) * below).long().clamp_(max=below - 1)

    def choice(self, probability: Tensor) -> Tensor:
        """One index per row, drawn by the weights in `probability` [rows, options]: int64 [rows]."""
        edges = probability.double().cumsum(dim=1)
        level = self.uniform(1, dtype=torch.float64) * edges[:, -1:]
        return (level >= edges).sum(dim=1).clamp_(max=probability.shape[1] - 1)

    def coin(self, probability: float, *shape: int) -> Tensor:
        """True with `probability`: bool [rows, *shape]."""
        return self.uniform(*shape, dtype=torch.float64) < probability


class Noise(nn.Module):
    """The randomness of a defense at inference: the same for the same example and round.

    Round 0 is what the evaluation scores. A view moves to a new round with every query, so an attacker sees
    fresh noise each time and never the noise that it will be judged under.
    """

    def __init__(self, seed: Seed) -> None:
        super().__init__()
        self.seed = seed
        self.round = 0

    def forward(self, ids: Sequence[str], device: torch.device | str = "cpu") -> Draws:
        """Fresh streams for these examples in the current round."""
        draws = self.seed.child("round", self.round).draws(ids, device)
        if not self.round:
            return draws
        # An attacker who asks k times about one example in one batch sees k noises.
        seen: Counter[str] = Counter()
        copies = []
        for name in ids:
            copies.append(seen[name])
            seen[name] += 1
        number = torch.tensor(copies, dtype=torch.long, device=draws.keys.device)
        return Draws(torch.where(number > 0, _mix(draws.keys + number * _GOLDEN), draws.keys))
