"""What the embedded model must be able to draw: A7 of the domain's acceptance list.

The judge's own part (97 % on held-out pictures) stands in tests/datasets/diffusion/test_train_judge.py.
"""

from pathlib import Path
from statistics import median

import pytest

from robeval.engine.cache import Cache, cache_directory
from robeval.engine.experiment import build_experiment, specs
from robeval.engine.plan import make_plan
from robeval.engine.progress import Watcher
from robeval.engine.run import run
from robeval.plugins.discovery import built_in

pytestmark = pytest.mark.slow


def test_the_default_model_draws_what_it_is_asked_for(tmp_path: Path) -> None:
    """A7: shapes 0.9, textures 0.8, colours 0.9 of the kept prompts at least, and the concept; medians of 3 seeds."""
    experiment = build_experiment(
        domain="diffusion",
        datasets=specs(("synthetic",)),
        attacks=specs(("none",)),
        defenses=specs(("none",)),
        seeds=3,
    )
    plan = make_plan(experiment, built_in())
    records = run(plan, tmp_path, Cache(cache_directory()), Watcher(), command="").records
    assert [record.status for record in records] == ["done"] * 3, [record.error for record in records]

    def middle(name: str) -> float:
        return median(record.metrics[name].value or 0.0 for record in records)

    assert middle("utility_first") >= 0.9
    assert middle("utility_second") >= 0.8
    assert middle("utility_third") >= 0.9
    assert middle("returned") >= 0.9
