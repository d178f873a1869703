"""The experiment document: YAML and flags are one model, and mistakes are named with their place."""

from pathlib import Path

import pytest

from robeval.engine.experiment import Experiment, build_experiment, read_experiment
from robeval.errors import ExperimentError, MissingFile, OptionError
from robeval.plugins.specs import PluginSpec


def written(tmp_path: Path, text: str) -> Path:
    """A YAML file with this text."""
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    return path


def test_a_saved_experiment_reads_back_equal(tmp_path: Path) -> None:
    """What --save-config writes is the same experiment."""
    experiment = build_experiment(
        attacks=("search:restarts=4,objective=left", "none"),
        budgets=(0.5, 1),
        knowledge=("adaptive", "oblivious"),
        seeds=2,
    )
    assert read_experiment(written(tmp_path, experiment.to_yaml())) == experiment


def test_plugins_are_written_as_text_or_mapping(tmp_path: Path) -> None:
    """`search:restarts=4` and `{search: {restarts: 4}}` are the same attack; a single item needs no list."""
    as_text = read_experiment(written(tmp_path, "attacks: search:restarts=4\n"))
    as_mapping = read_experiment(written(tmp_path, "attacks:\n  - search: {restarts: 4}\n"))
    assert as_text == as_mapping
    assert as_text.attacks == (PluginSpec(name="search", options={"restarts": 4}),)


def test_an_unknown_key_is_named_with_line_and_nearest_key(tmp_path: Path) -> None:
    """The message says where the key stands and what was probably meant."""
    path = written(tmp_path, "domain: trajectory\nattaks: [none]\n")
    with pytest.raises(ExperimentError, match=r"line 2: attaks: unknown key\. Did you mean 'attacks'"):
        read_experiment(path)


def test_an_unknown_key_inside_execution_is_named(tmp_path: Path) -> None:
    """Nested keys are checked as well."""
    path = written(tmp_path, "execution:\n  batchsize: 4\n")
    with pytest.raises(
        ExperimentError, match=r"line 2: execution\.batchsize: unknown key\. Did you mean 'batch_size'"
    ):
        read_experiment(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("budgets: [-1]", "finite number ≥ 0, not -1"),
        ("budgets: .nan", "finite number ≥ 0, not nan"),
        ("seeds: 0", "seeds"),
        ("knowledge: clueless", "knowledge"),
        ("- a\n- b", "must hold a mapping"),
        ("a: [", "is not YAML"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, text: str, said: str) -> None:
    """Nothing runs on a document that cannot be meant."""
    with pytest.raises(ExperimentError, match=said):
        read_experiment(written(tmp_path, text))


def test_a_missing_file_says_how_to_write_one(tmp_path: Path) -> None:
    """The path and the command that makes such a file."""
    with pytest.raises(MissingFile, match="--save-config"):
        read_experiment(tmp_path / "nowhere.yaml")


def test_an_option_without_value_is_refused() -> None:
    """`name:thing` is not option=value."""
    with pytest.raises(OptionError, match="not option=value"):
        PluginSpec.parse("search:restarts")


def test_execution_does_not_change_identity() -> None:
    """Where and how cells run is no part of what is asked."""
    assert Experiment().identity() == Experiment(execution={"batch_size": 3}).identity()  # type: ignore[arg-type]
    assert Experiment().identity() != Experiment(seeds=2).identity()
