"""The rooms and the doors between them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"attacks": "robeval_attacks", "defenses": "robeval_defenses", "datasets": "robeval_datasets"}
SOURCES = sorted(
    file
    for folder in ("robeval", *FOLDERS)
    for file in (ROOT / folder).rglob("*.py")
    if "__pycache__" not in file.parts
)
OPTIONAL = ("transformers", "diffusers", "nuscenes", "torchvision", "ray")


def test_imports_go_one_way() -> None:
    """The contracts of import-linter in pyproject.toml are kept."""
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0


@pytest.mark.parametrize(("folder", "package"), FOLDERS.items())
def test_the_three_folders_are_no_packages(folder: str, package: str) -> None:
    """An `__init__.py` in `datasets/` would hide Hugging Face's package from whoever works at the root."""
    assert not (ROOT / folder / "__init__.py").exists()
    assert (ROOT / folder / package / "__init__.py").is_file()
    packages = [path.name for path in (ROOT / folder).iterdir() if path.is_dir() and any(path.rglob("*.py"))]
    assert packages == [package]


def test_tests_are_no_packages() -> None:
    """Test files are found by path, so that two may share a name."""
    assert list((ROOT / "tests").rglob("__init__.py")) == []


def imported_at_top(file: Path) -> set[str]:
    """The top-level packages that importing a module imports at once."""
    names: list[str] = []
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return {name.split(".")[0] for name in names}


def test_optional_packages_are_imported_where_they_are_used() -> None:
    """No module imports an extra, or a package that only some Pythons have, at its top."""
    assert "torch" in set().union(*map(imported_at_top, SOURCES))
    assert [str(file) for file in SOURCES if imported_at_top(file) & set(OPTIONAL)] == []


def test_shapes_can_be_checked() -> None:
    """Postponed annotations are text, which the run-time shape checker cannot tie to the axes of a call."""
    texts = {file: file.read_text(encoding="utf-8") for file in SOURCES}
    shaped = {file for file, text in texts.items() if "from jaxtyping import" in text}
    assert shaped
    assert [str(file) for file in shaped if "from __future__ import annotations" in texts[file]] == []
