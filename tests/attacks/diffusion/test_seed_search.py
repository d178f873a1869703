"""Other noise for the same prompt."""

from typing import Any

import torch

from robeval.domains.diffusion.batch import Drawn, PromptBatch
from robeval_attacks.diffusion.seed_search import SeedSearch


def lucky(planted: Any) -> Any:
    """A victim that draws its picture for every fourth seed, whatever the words are."""

    def draw(batch: PromptBatch) -> Drawn:
        shown = (batch.seed % 4 == 0).view(-1, 1, 1, 1)
        return Drawn(torch.where(shown, batch.image, torch.full_like(batch.image, 0.5)))

    planted.draw = draw
    return planted


def test_a_lucky_seed_is_found(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Forty tries at one in four find a seed for every prompt for the concept, and change nothing else."""
    done = run_attack(SeedSearch(tries=40), lucky(planted), prompts)
    asked = prompts.targeted
    assert done.shown[asked].all()
    assert (done.adversarial.seed[asked] % 4 == 0).all()
    assert torch.equal(done.adversarial.tokens, prompts.tokens)
    assert torch.equal(done.adversarial.seed[~asked], prompts.seed[~asked])
    assert (done.spent["seeds"] <= 1).all()
    assert int(done.view.queries.max()) < 41


def test_without_the_budget_the_seed_stays(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Below one whole seed nothing may change, and nothing is asked."""
    done = run_attack(SeedSearch(), lucky(planted), prompts, 0.0)
    assert done.adversarial.identical(prompts)
    assert done.view.calls == 0
