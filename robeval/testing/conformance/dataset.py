"""What a dataset promises."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from robeval.errors import OptionError, RobevalError
from robeval.plugins.data import Dataset, Split
from robeval.plugins.options import configure, describe, identity
from robeval.testing.conformance.bench import Bench, global_randomness
from robeval.testing.conformance.check import check, expect

SPLITS: tuple[Split, ...] = ("train", "val", "test")


@check("dataset")
def examples_of_the_domain(bench: Bench) -> None:
    """Every split has examples, of the domain's batch type, and a batch comes out of the loader."""
    data: Dataset = bench.plugin
    expected = bench.domain.batch
    for name in SPLITS:
        batch = data.split(name)
        expect(
            isinstance(batch, expected),
            f"the {name} split is a {type(batch).__name__}",
            f"Return a {expected.__name__} from load",
        )
        expect(len(batch) > 0, f"the {name} split is empty", "Leave at least one example to every split")
    first = next(iter(data.train_dataloader()))
    expect(
        isinstance(first, expected), "train_dataloader gives no batches", "Do not override it, or use select"
    )


@check("dataset")
def ids_unique(bench: Bench) -> None:
    """Every example has an id of its own, and no example is in two splits."""
    ids = {name: bench.plugin.split(name).ids for name in SPLITS}
    for name, found in ids.items():
        twice = next((i for i in found if found.count(i) > 1), None) if len(set(found)) < len(found) else None
        expect(twice is None, f"the {name} split holds '{twice}' twice", "Number the examples")
    for one, other in itertools.combinations(SPLITS, 2):
        shared = set(ids[one]) & set(ids[other])
        expect(
            not shared,
            f"'{min(shared, default='')}' is in the {one} and in the {other} split",
            "Split by recording, topic or person, and put the split's name into the ids",
        )


@check("dataset")
def in_range(bench: Bench) -> None:
    """The domain has no objection to any example of any split."""
    for name in SPLITS:
        for problem, where in bench.domain.problems(bench.plugin.split(name)).items():
            expect(
                not bool(where.any()),
                f"{int(where.sum())} examples of the {name} split have a problem: {problem}",
                "Drop or repair them in load",
            )


@check("dataset")
def loads_the_same(bench: Bench) -> None:
    """Two instances give the same examples, whatever the global generators hold."""
    found = []
    for number in (1, 2):
        with global_randomness(number):
            found.append(bench.make())
            found[-1].split("test"), found[-1].split("train")
    for name in ("test", "train"):
        one, other = (data.split(name) for data in found)
        expect(
            one.ids == other.ids and one.identical(other),
            f"two loads of the {name} split differ",
            "Draw from robeval.Seed(self.seed), and sort what you list from a folder",
        )


@check("dataset")
def fingerprint_tells(bench: Bench) -> None:
    """The fingerprint is the same for the same data and changes with every option that changes the data."""
    first, again = bench.make().fingerprint(), bench.make().fingerprint()
    expect(first == again, "two instances have different fingerprints", "Leave time and memory addresses out")
    for name, value in _variations(bench):
        options = {**bench.effective, name: value}
        try:
            other: Dataset = configure(bench.cls, options, f"dataset '{bench.name}'")
            print_ = other.fingerprint()
        except (OptionError, RobevalError):
            continue
        if print_ == first:
            same = other.split("train").identical(bench.plugin.split("train"))
            expect(
                same,
                f"{name}={value} changes the examples but not the fingerprint",
                f"Keep the option as self.{name}, or add it in a fingerprint of your own",
            )


def _variations(bench: Bench) -> Iterator[tuple[str, Any]]:
    """Every whole-number option, a little larger."""
    effective = identity(bench.cls, bench.effective)
    for option in describe(bench.cls):
        value = effective.get(option.name)
        if isinstance(value, int) and not isinstance(value, bool):
            yield option.name, value + 1
