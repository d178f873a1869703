"""What workers are given, and after what."""

from robeval.engine.executors.execute import graph
from robeval.engine.executors.worker import Task
from robeval.engine.experiment import build_experiment
from robeval.engine.plan import Plan, make_plan
from robeval.plugins.discovery import discover


def given(plan: Plan, trained: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """The graph in words, where the victims of some defenses are trained already."""
    fits = {fit: Task("fit", str(number)) for number, fit in enumerate(plan.fits())}
    words = {task: fit.defense.name for fit, task in fits.items()}
    words |= {Task("cell", cell.id): f"{cell.attack.name} x {cell.defense.name}" for cell in plan.cells}
    tasks = graph(plan.catalog, plan.cells, fits, lambda fit: fit.defense.name not in trained)
    return {words[task]: [words[need] for need in needs] for task, needs in tasks.items()}


def test_every_task_waits_for_its_own_trainings_only() -> None:
    """Adversarial training starts from the plain victim; smoothing needs no training of its own."""
    experiment = build_experiment(
        domain="trajectory",
        attacks=("search",),
        defenses=("none", "smoothing", "augmentation", "adversarial-training"),
    )
    plan = make_plan(experiment, discover([]))
    assert given(plan) == {
        "none": [],
        "augmentation": [],
        "adversarial-training": ["none"],
        "search x none": ["none"],
        "search x smoothing": ["none"],
        "search x augmentation": ["augmentation"],
        "search x adversarial-training": ["none", "adversarial-training"],
    }
    assert given(plan, trained=("none", "augmentation")) == {
        "adversarial-training": [],
        "search x none": [],
        "search x smoothing": [],
        "search x augmentation": [],
        "search x adversarial-training": ["adversarial-training"],
    }
