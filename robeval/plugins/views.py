"""What an attack sees of the victim: as much as its threat model grants, and every question is counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from robeval.arrays import Batch
from robeval.errors import AccessError, QueryBudgetSpent
from robeval.plugins.answers import attached, mean_of
from robeval.plugins.contracts import Detects, Domain
from robeval.plugins.observed import Slopes, Trace
from robeval.plugins.threat import MEANING, ThreatModel
from robeval.seeding import Noise

B = TypeVar("B", bound=Batch)

ASKING = ("white-box", "score", "decision", "rank")


class View(Generic[B]):
    """A victim as an attacker meets it.

    Calling the view asks the victim: with white-box access the answer carries gradients, otherwise it is detached
    and cut to what the access reveals. Every row of every call is one forward pass and one query of its example;
    every row that a gradient flows back through is one backward pass.
    """

    def __init__(
        self,
        victim: nn.Module,
        domain: Domain,
        threat: ThreatModel,
        ids: Sequence[str],
        progress: Callable[[int], None] | None = None,
        *,
        draws: int = 1,
        prepared: Any = None,
        total: int | None = None,
        original: Callable[[], nn.Module] | None = None,
    ) -> None:
        """`draws` of a random victim are averaged in every white-box answer; `total` limits all questions together."""
        self.prepared = prepared
        """What the attack's preparation learnt; None without one."""
        self._original = original
        self._draws = draws if threat.access == "white-box" else 1
        self._total = total
        self._threat = threat
        self._queries = torch.zeros(len(ids), dtype=torch.long)
        self._asking = False
        self._watching: RemovableHandle | None = None
        self.calls = 0
        self.forward_rows = 0
        self.backward_rows = 0
        self.moved: set[str] = set()
        """Fields of the batch that gradients were taken by."""
        self.submitted: B | None = None
        self.notes: dict[str, Tensor] = {}
        self.measures: dict[str, Tensor] = {}
        self._trace = Trace()
        self._slopes = Slopes(len(ids))
        self._progress = progress
        self._victim = victim
        self._domain = domain
        self._place = {name: number for number, name in enumerate(ids)}
        self._noises = [module for module in victim.modules() if isinstance(module, Noise)]
        self._detectors: list[Detects] | None = None
        self._rows: tuple[tuple[str, ...], Tensor] = ((), torch.empty(0, dtype=torch.long))

    @property
    def threat(self) -> ThreatModel:
        """The grant; it cannot be exchanged."""
        return self._threat

    @property
    def queries(self) -> Tensor:
        """What every example has asked so far: a copy, int64 [examples]."""
        return self._queries.clone()

    def __call__(self, batch: B) -> Any:
        """The victim's answer for every row.

        Raises AccessError without a grant to ask, QueryBudgetSpent when an example has no queries left.
        """
        if self._threat.access not in ASKING:
            raise AccessError(
                f"this attack's threat model grants access '{self._threat.access}' "
                f"({MEANING[self._threat.access]}), but it asked the victim. "
                f"Declare ThreatModel(access='score') or 'white-box', or do not call the view."
            )
        draws = self._draws if self._noises else 1
        return mean_of([self._asked(batch) for _ in range(draws)])

    def _asked(self, batch: B) -> Any:
        rows = self._count(batch)
        self._asking = True
        try:
            return self._answer(batch, rows)
        finally:
            self._asking = False

    def alarm(self, batch: B) -> Tensor:
        """How far each row is beyond the thresholds of the victim's detectors: [rows], 0 where all is quiet.

        Differentiable; add it to a white-box attack's loss as a penalty. Raises AccessError with other access.
        """
        total = next(iter(batch.tensors().values())).new_zeros(len(batch), dtype=torch.float32)
        if self._detectors is None:
            # Looked for once: to ask every module whether it has an alarm takes longer than a small victim's pass.
            self._detectors = [module for module in self._granted().modules() if isinstance(module, Detects)]
        for detector in self._detectors:
            total = total + detector.alarm(batch).clamp_min(0)
        return total

    def trace(self, values: Tensor) -> None:
        """The attack's objective after each of its steps, summed over rows (larger is better for it): [steps].

        Kept for the audit, which asks whether the attack had stopped improving when its steps ended.
        """
        self._trace.add(values)

    def _answer(self, batch: B, rows: Tensor) -> Any:
        if self._threat.access != "white-box":
            with torch.no_grad():
                return self._domain.reveal(self._victim(batch), self._threat.access)
        # A cuDNN RNN refuses to go backward in evaluation mode; elsewhere this changes nothing.
        with torch.backends.cudnn.flags(enabled=False):
            watched = self._watched(batch, rows)
            return attached(self._victim(watched), watched)

    @property
    def module(self) -> nn.Module:
        """The (defended) victim itself: weights, submodules, gradients. White-box access only."""
        victim = self._granted()
        if self._watching is None:
            self._watching = victim.register_forward_pre_hook(self._asked_directly)
        return victim

    def _granted(self) -> nn.Module:
        if self._threat.access != "white-box":
            raise AccessError(
                f"this attack's threat model grants access '{self._threat.access}' "
                f"({MEANING[self._threat.access]}), but it reached for the module. "
                "Declare ThreatModel(access='white-box') if the attacker has the weights."
            )
        return self._victim

    @property
    def original(self) -> nn.Module:
        """The victim as it was before it was defended, where that is public: weights and gradients, not counted.

        With white-box access, or where the threat model says that it is public.
        """
        granted = self._threat.original or self._threat.access == "white-box"
        if not granted or self._original is None:
            raise AccessError(
                f"this attack's threat model grants access '{self._threat.access}' without the undefended victim; "
                "declare ThreatModel(original=True) if that is public"
            )
        return self._original()

    def close(self) -> None:
        """The attack is over: nothing is counted any more."""
        if self._watching is not None:
            self._watching.remove()

    def left(self, batch: B) -> Tensor:
        """Queries that the example of each row has left: int64 [rows]; a very large number without a limit."""
        limit = torch.iinfo(torch.long).max if self._threat.queries is None else self._threat.queries
        return limit - self._queries[self._places(batch)]

    def _asked_directly(self, module: nn.Module, given: tuple[Any, ...]) -> None:
        """A call of `view.module` is a question like any other."""
        if not self._asking and given and isinstance(given[0], Batch):
            self._count(given[0])

    @property
    def remaining(self) -> int | None:
        """Queries that the busiest example has left; None without a limit."""
        if self._threat.queries is None:
            return None
        return self._threat.queries - int(self._queries.max()) if len(self._queries) else self._threat.queries

    def spent(self, clean: B, adversarial: B) -> Mapping[str, Tensor]:
        """What the domain says was spent, by measure: [rows] each. The rules are known to everybody, and free."""
        return self._domain.spent(clean, adversarial)

    def submit(self, adversarial: B) -> None:
        """The best so far: what counts if the query budget stops the attack."""
        self.submitted = adversarial

    def note(self, status: str, batch: B, where: Tensor) -> None:
        """Say what became of some rows (`stationary`, `not_converged`...); kept with the examples. bool [rows]."""
        places = self._places(batch)
        self.notes.setdefault(status, torch.zeros(len(self._queries), dtype=torch.bool))
        self.notes[status][places[where.cpu()]] = True

    def measure(self, name: str, batch: B, values: Tensor) -> None:
        """Keep a figure of the attack's own for some rows (an imitation's agreement, say); means are reported. [rows].

        It says something of the attack and never of the defense.
        """
        places = self._places(batch)
        self.measures.setdefault(name, torch.full((len(self._queries),), torch.nan, dtype=torch.float64))
        self.measures[name][places] = values.detach().double().cpu()

    def watch(self, variable: Tensor, batch: B) -> Tensor:
        """The same tensor, its gradient observed per row of `batch`, and counted as one pass forward of every row.

        For attacks that differentiate by something else than the batch's own tensors (embeddings, say) and push it
        through `view.module` by another way than its forward.
        """
        return self._hooked(variable, self._count(batch))

    def observations(self) -> dict[str, float]:
        """Sums over the examples, for the trust checks."""
        counted = {
            "forward": float(self.forward_rows),
            "backward": float(self.backward_rows),
            "queries": float(self._queries.sum()),
            "calls": float(self.calls),
        }
        return self._trace.sums() | counted | self._slopes.sums()

    def _places(self, batch: Batch) -> Tensor:
        if self._rows[0] is not batch.ids:
            try:
                places = torch.tensor([self._place[name] for name in batch.ids], dtype=torch.long)
            except KeyError as error:
                raise AccessError(
                    f"the attack asked about an example that is not in its batch: {error.args[0]!r}"
                ) from None
            self._rows = (batch.ids, places)
        return self._rows[1]

    def _count(self, batch: Batch) -> Tensor:
        uneven = {n: v.shape[0] for n, v in batch.tensors().items() if v.shape[0] != len(batch.ids)}
        if uneven:
            raise AccessError(
                f"the attack asked with {uneven} rows for {len(batch.ids)} ids; "
                "make further rows with batch.repeat or batch.select, so that each is counted"
            )
        places = self._places(batch)
        asked = torch.bincount(places, minlength=len(self._queries))
        limit = self._threat.queries
        over = torch.zeros_like(asked, dtype=torch.bool) if limit is None else self._queries + asked > limit
        if bool((over & (asked > 0)).any()):
            if not bool(over[asked > 0].all()):
                raise AccessError(
                    f"{int(over.sum())} of {len(over)} examples have no queries left of {limit}, the others have: "
                    "drop the rows where `view.left(batch)` is used up, and ask for the rest"
                )
            raise QueryBudgetSpent(f"the query budget of {limit} an example is spent")
        for noise in self._noises:
            noise.round += 1
        if self._total is not None and int(self._queries.sum()) + len(places) > self._total:
            raise QueryBudgetSpent(f"the {self._total} questions of the preparation are spent")
        self._queries += asked
        self.calls += 1
        self.forward_rows += len(places)
        if self._progress is not None:
            self._progress(self.forward_rows)
        return places

    def _watched(self, batch: B, places: Tensor) -> B:
        live = {name: value for name, value in batch.tensors().items() if value.requires_grad}
        if not live or not torch.is_grad_enabled():
            return batch
        self.moved |= set(live)
        first = True
        changes: dict[str, Tensor] = {}
        for name, value in live.items():
            changes[name] = self._hooked(value, places, counts=first)
            first = False
        return batch.replace(**changes)

    def _hooked(self, value: Tensor, places: Tensor, counts: bool = True) -> Tensor:
        copy = value.view_as(value)

        def observe(gradient: Tensor) -> None:
            if counts:
                self.backward_rows += len(places)
            self._slopes.saw(gradient, places)

        copy.register_hook(observe)  # type: ignore[no-untyped-call]
        return copy
