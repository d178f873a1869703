"""What holds for every test: the same examples every time, and nobody's cache touched."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Two busy cores make a slow example, not a wrong one.
settings.register_profile("robeval", derandomize=True, deadline=None, database=None)
settings.load_profile("robeval")


@pytest.fixture(autouse=True, scope="session")
def session_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Trained victims and finished cells go to a folder of this test session.

    ROBEVAL_TEST_CACHE names one that stays: the slow acceptance tests then train their models once.
    """
    folder = os.environ.get("ROBEVAL_TEST_CACHE") or str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ROBEVAL_CACHE_DIR", folder)
        yield
