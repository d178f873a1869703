"""What holds for every test: the same examples every time, and nobody's cache touched."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

# Two busy cores make a slow example, not a wrong one.
settings.register_profile("robeval", derandomize=True, deadline=None, database=None)
settings.load_profile("robeval")


@pytest.fixture(autouse=True, scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trained victims and finished cells go to a folder of this test session."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBEVAL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield
