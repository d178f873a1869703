"""Files of every format, small enough to read."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cranfield_root() -> Path:
    """The folder of the real Cranfield collection; skips without it."""
    shared = os.environ.get("ROBEVAL_SHARED") or Path(__file__).parents[4] / "shared"
    folder = Path(shared) / "data" / "cranfield"
    if not folder.is_dir():
        pytest.skip(
            "the real Cranfield files are not here (set ROBEVAL_SHARED to the folder that holds data/)"
        )
    return folder


@pytest.fixture
def written(tmp_path: Path):
    """Writes a file and gives its name: written("queries.tsv", text)."""

    def write(name: str, text: str) -> str:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def texts(written) -> dict[str, str]:
    """Twenty queries and forty passages, the first of them empty."""
    queries = "".join(f"q{n}\tword{n} and thing{n}\n" for n in range(20))
    passages = "p0\t\n" + "".join(f"p{n}\tword{n % 20} stands beside thing{n} here .\n" for n in range(1, 40))
    return {"queries": written("queries.tsv", queries), "passages": written("passages.tsv", passages)}
