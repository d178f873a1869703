"""Random words in front of a prompt."""

from typing import Any

from robeval.domains.diffusion.batch import PromptBatch
from robeval_attacks.diffusion.random_prefix import RandomPrefix


def test_words_are_put_in_front(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """One try writes exactly the budget in front of prompts for the concept and asks nothing."""
    attack = RandomPrefix(tries=1)
    assert attack.grant.access == "none"
    done = run_attack(attack, planted, prompts, 2.0)
    for before, after, asked in zip(
        prompts.text, done.adversarial.text, prompts.targeted.tolist(), strict=True
    ):
        assert after.endswith(before)
        assert (after != before) == asked
    assert done.spent["tokens"].tolist() == [2.0 * asked for asked in prompts.targeted.tolist()]
    assert done.view.calls == 0


def test_enough_tries_find_the_planted_word(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """Three of 167 words a try: 80 tries find the one that counts for most, and stop there."""
    done = run_attack(RandomPrefix(tries=80), planted, prompts)
    assert float(done.shown[prompts.targeted].float().mean()) >= 0.6
    few = run_attack(RandomPrefix(tries=2), planted, prompts)
    assert (few.view.queries[prompts.targeted & ~few.shown] == 3).all()
    assert int(done.view.queries[done.shown].max()) < 81


def test_a_prompts_words_do_not_hang_on_its_neighbours(
    run_attack: Any, planted: Any, prompts: PromptBatch
) -> None:
    """Alone a prompt gets the words that it gets among others, also when those are caught earlier."""
    attack = RandomPrefix(tries=25)
    together = run_attack(attack, planted, prompts).adversarial
    for row in (1, 4):
        alone = run_attack(attack, planted, prompts.select([row])).adversarial
        assert alone.text[0] == together.text[row]


def test_other_seeds_give_other_words(run_attack: Any, planted: Any, prompts: PromptBatch) -> None:
    """The same seed repeats, another does not."""
    texts = [
        run_attack(RandomPrefix(tries=1), planted, prompts, seed=seed).adversarial.text for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
