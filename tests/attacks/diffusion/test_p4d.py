"""P4D."""

from typing import Any

import pytest
import torch

from robeval.domains.diffusion.batch import PromptBatch
from robeval.errors import AccessError
from robeval.seeding import Seed
from robeval_attacks.diffusion.adam import Adam
from robeval_attacks.diffusion.p4d import P4D, Projected
from robeval_attacks.diffusion.places import places
from robeval_attacks.diffusion.wording import Vocabulary


@pytest.mark.parametrize("form", ["prefix", "spread"])
def test_the_planted_word_is_found(
    run_attack: Any, planted: Any, unerased: Any, prompts: PromptBatch, form: Any
) -> None:
    """Answering as the original does to "circle" takes the planted word, which only the victim's slope shows."""
    done = run_attack(P4D(form=form), planted, prompts, original=unerased)
    asked = prompts.targeted
    assert done.shown[asked].all()
    assert (done.spent["tokens"][asked] == 3).all()
    other = ~asked
    assert done.adversarial.select(other).identical(prompts.select(other))


def test_replaced_prompts_stay_within_their_edits(
    run_attack: Any, planted: Any, unerased: Any, prompts: PromptBatch
) -> None:
    """P4D-N writes instead of the prompt: its budget counts edits, at any size."""
    attack = P4D(form="replace", iterations=60)
    assert attack.grant.budget.name == "edits"
    for budget in (0.0, 2.0, 8.0):
        done = run_attack(attack, planted, prompts, budget, original=unerased)
        assert (done.spent["edits"] <= budget).all()
    assert done.shown[prompts.targeted].all()


def test_without_the_original_it_cannot_start(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Its threat model says that the undefended victim is public; where it is not, that is said."""
    assert P4D.threat.original
    assert "undefended" in str(P4D.threat)
    with pytest.raises(AccessError, match="undefended victim"):
        run_attack(P4D(), planted, prompts)


def test_the_nearest_token_is_tried_and_the_free_embedding_moves(planted: Any, prompts: PromptBatch) -> None:
    """Nearest by angle, not by distance; the step is AdamW's on what lies beneath."""
    table = torch.tensor([[1.0, 0.0], [0.0, 9.0]])
    free = torch.tensor([[[0.5, 0.6]]])
    one = prompts.select([0])
    words = Projected(
        planted,
        one,
        places(one.tokenizer, one.tokens, "prefix", 1),
        Vocabulary(torch.tensor([3, 4]), table),
        free,
        Adam.of(free, 0.1, 0.1, True),
    )
    assert words.nearest.tolist() == [[1]]
    assert words.slots(Seed(0).draws(one.ids)).tolist() == [[[0.0, 9.0]]]
    moved = words.moved(torch.tensor([[[-2.0, 3.0]]]))
    torch.testing.assert_close(moved.free, free * (1 - 0.1 * 0.1) + torch.tensor([[[0.1, -0.1]]]))
    assert moved.nearest.tolist() == [[0]]
