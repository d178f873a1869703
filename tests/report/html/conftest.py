"""Pages of the run that all report tests share, and a browser to look at them."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.figure import Figure

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class Artist:
    """A domain that draws a dot for every example, and keeps count."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def picture(self, trial: str, title: str = "") -> Figure:
        """A small figure."""
        figure = Figure(figsize=(2, 1.4))
        figure.text(0.1, 0.5, trial)
        return figure


@pytest.fixture
def replayed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Puts a domain in the place of the replay, which needs torch and a real run."""

    def install(domain: Any) -> Any:
        def trial(folder: Path, cell: str, examples: Sequence[str]) -> tuple[Any, str]:
            domain.asked.append((cell, examples[0]))
            return domain, examples[0]

        monkeypatch.setitem(sys.modules, "robeval.engine.replay", SimpleNamespace(trial=trial))
        return domain

    return install


@pytest.fixture
def artist(replayed: Callable[[Any], Any]) -> Artist:
    """The domain that draws."""
    drawing: Artist = replayed(Artist())
    return drawing


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """The system's Chromium without a window."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    named = os.environ.get("ROBEVAL_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        pytest.skip("no Chromium found; Debian: apt-get install chromium, or set ROBEVAL_CHROMIUM")
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield found
        found.close()
