"""`robeval new`: what it writes works as written, and a mistake leaves nothing behind."""

import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from robeval.plugins.discovery import GROUP

Run = Callable[..., Any]
KINDS = ("attack", "defense", "dataset", "victim")
ROOT = Path(__file__).parents[2]


@pytest.fixture
def tested(python: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., None]:
    """Runs generated tests in a process of their own; their output is the message when one fails."""

    def run(*paths: object) -> None:
        done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir=.", *map(str, paths))
        assert done.returncode == 0, done.stdout + done.stderr
        assert " passed" in done.stdout

    return run


def generate(robeval: Run, domain: str) -> None:
    """A plugin of every kind for a domain, in the current folder."""
    for kind in KINDS:
        outcome = robeval("new", kind, f"my-{kind}", "--domain", domain)
        assert outcome.code == 0, outcome.err


def test_plugins_of_a_small_domain_pass_their_tests(
    robeval: Run, home: Path, tested: Callable[..., None]
) -> None:
    """A generated attack, defense, dataset, victim and domain keep every promise as written."""
    generate(robeval, "linear")
    assert robeval("new", "domain", "my-domain").code == 0
    tested(*sorted(home.glob("test_*.py")))


@pytest.mark.slow
def test_plugins_of_the_trajectory_domain_pass_their_tests(
    robeval: Run, home: Path, tested: Callable[..., None]
) -> None:
    """The same for a domain of scenes."""
    generate(robeval, "trajectory")
    tested(*sorted(home.glob("test_*.py")))


def test_generated_files_run(robeval: Run, home: Path) -> None:
    """The command that is printed at the end gives figures, and an attack that does something."""
    assert robeval("new", "domain", "my-domain").code == 0
    outcome = robeval("run", "my-domain", "--plugin", "my_domain.py")
    assert outcome.code == 0, outcome.err
    assert "shift" in outcome.out
    said = robeval("new", "attack", "my-attack", "--domain", "linear").out
    command = said.splitlines()[-1].split()
    assert command[0] == "robeval"
    outcome = robeval(*command[1:])
    assert outcome.code == 0, outcome.err
    assert "my-attack" in outcome.out


def test_a_guest_domain_can_be_extended(robeval: Run, home: Path, tested: Callable[..., None]) -> None:
    """An attack on a domain that stands in a file of its own: the test names both files."""
    robeval("new", "domain", "my-domain")
    outcome = robeval("new", "attack", "my-attack", "--domain", "my-domain", "--plugin", "my_domain.py")
    assert outcome.code == 0, outcome.err
    assert 'Budget("distance", "", 0.5)' in (home / "my_attack.py").read_text()
    assert 'here / "my_domain.py"' in (home / "test_my_attack.py").read_text()
    tested(home / "test_my_attack.py")


@pytest.mark.parametrize("kind", [*KINDS, "domain"])
def test_a_package_is_a_whole_project(robeval: Run, home: Path, kind: str) -> None:
    """Entry point, CI file, README, package and test are there, all of it valid Python and TOML."""
    domain = () if kind == "domain" else ("--domain", "linear")
    assert robeval("new", kind, "my-idea", *domain, "--package").code == 0
    root = home / "robeval-my-idea"
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert project["entry-points"][GROUP] == {"my-idea": "robeval_my_idea:register"}
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()} == {
        "pyproject.toml",
        "README.md",
        ".github/workflows/test.yml",
        "robeval_my_idea/__init__.py",
        "robeval_my_idea/my_idea.py",
        "tests/test_my_idea.py",
    }
    for path in root.rglob("*.py"):
        compile(path.read_text(), path, "exec")


def test_a_package_passes_its_tests_before_it_is_installed(
    robeval: Run, home: Path, python: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """Its own test finds the plugin through its register function."""
    robeval("new", "attack", "my-idea", "--domain", "linear", "--package")
    done = python("-m", "pytest", "-q", "-p", "no:cacheprovider", str(home / "robeval-my-idea"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_generated_code_is_formatted(robeval: Run, home: Path) -> None:
    """A formatter at the project's width has nothing to change."""
    ruff = pytest.importorskip("ruff", reason="ruff belongs to the lint extra").find_ruff_bin()
    generate(robeval, "trajectory")
    robeval("new", "domain", "my-domain")
    done = subprocess.run(
        [ruff, "format", "--no-cache", "--line-length", "110", "--diff", "."],
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("attack", "MyAttack", "--domain", "linear"), "Did you mean 'my-attack'"),
        (("attack", "my_attack", "--domain", "linear"), "Did you mean 'my-attack'"),
        (("attack", "linear/mine", "--domain", "linear"), "write: robeval new attack mine"),
        (("attack", "9lives", "--domain", "linear"), "lower-case words"),
        (("attack", "../escape", "--domain", "linear"), "holds a domain"),
        (("attack", "class", "--domain", "linear"), "a name of Python's own"),
        (("attack", "random", "--domain", "linear"), "as in 'random-attack'"),
        (("attack", "worst", "--domain", "linear"), "there is an attack 'linear/worst' already"),
        (("attack", "mine"), "say which domain"),
        (("attack", "mine", "--domain", "linaer"), "Did you mean 'linear'"),
        (("domain", "mine", "--domain", "linear"), "belongs to no other"),
        (("domain", "trajectory"), "there is a domain 'trajectory' already"),
        (("poem", "mine"), "poem"),
        (("attack", "mine", "--domain", "linear", "--out", "a-file"), "cannot write"),
    ],
)
def test_a_mistake_is_told_and_leaves_nothing(
    robeval: Run, home: Path, words: tuple[str, ...], said: str
) -> None:
    """Exit code 2, what would be right, and not one file."""
    (home / "a-file").write_text("mine")
    outcome = robeval("new", *words)
    assert outcome.code == 2
    assert said in outcome.err
    assert [path.name for path in home.iterdir()] == ["a-file"]
    assert (home / "a-file").read_text() == "mine"


@pytest.mark.parametrize("package", [False, True])
def test_nothing_is_replaced(robeval: Run, home: Path, package: bool) -> None:
    """If one of the files exists, none is written."""
    words = ["new", "attack", "mine", "--domain", "linear", *(["--package"] if package else [])]
    mine = home / "robeval-mine" / "notes.txt" if package else home / "test_mine.py"
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    outcome = robeval(*words)
    assert outcome.code == 2
    assert "exists already" in outcome.err
    assert [path for path in home.rglob("*") if path.is_file()] == [mine]
