"""What a check is: a function with one sentence on what must hold, and a failure that says what to do."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from robeval.errors import MissingExtra, MissingFile, RobevalError

if TYPE_CHECKING:
    from robeval.testing.conformance.bench import Bench


class Broken(AssertionError):
    """A plugin does not keep its contract; the message says where and what to do."""


class NotApplicable(Exception):
    """A check that has nothing to look at for this plugin."""


@dataclass(frozen=True)
class Check:
    """One promise of a kind of plugin."""

    kind: str
    name: str
    promise: str
    """The first sentence of its function's docstring."""
    look: Callable[[Bench], None]


CHECKS: dict[str, list[Check]] = {}


def check(*kinds: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Add a function to the checks of some kinds; its name, with hyphens, is the check's."""

    def add(look: Callable[[Bench], None]) -> Callable[[Bench], None]:
        promise = (look.__doc__ or "").strip().split("\n")[0]
        for kind in kinds:
            CHECKS.setdefault(kind, []).append(Check(kind, look.__name__.replace("_", "-"), promise, look))
        return look

    return add


@dataclass(frozen=True)
class Bound:
    """A check of one plugin: call it. As text it is the check's name, for test ids."""

    check: Check
    bench: Bench

    def __call__(self) -> None:
        """Run the check.

        Raises Broken with what is wrong and what to do. Where it does not apply the running pytest test is
        skipped with the reason; outside pytest nothing happens.
        """
        try:
            with self._explained():
                self.check.look(self.bench)
        except NotApplicable as reason:
            if "PYTEST_CURRENT_TEST" in os.environ and "pytest" in sys.modules:
                sys.modules["pytest"].skip(str(reason))

    def __str__(self) -> str:
        return self.check.name

    @property
    def id(self) -> str:
        """Plugin and check, for test ids over many plugins."""
        return f"{self.bench.domain_name}/{self.bench.name}-{self.check.name}"

    @contextmanager
    def _explained(self) -> Iterator[None]:
        where = f"{self.bench.kind} '{self.bench.name}' fails the check '{self.check.name}'"
        try:
            yield
        except Broken as error:
            raise Broken(f"{where}: {error}") from None
        except (MissingExtra, MissingFile) as error:
            raise NotApplicable(str(error)) from error
        except NotApplicable:
            raise
        except RobevalError as error:
            raise Broken(f"{where}: {type(error).__name__}: {error}") from error
        except Exception as error:
            raise Broken(f"{where}: it raised {type(error).__name__}: {error}") from error


def expect(holds: bool, problem: str, advice: str) -> None:
    """Raise Broken unless it holds: what is wrong, then what to do."""
    if not holds:
        raise Broken(f"{problem}. {advice}")
