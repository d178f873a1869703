"""The pages: the list of runs, one run, two runs side by side. Nothing is ever written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from robeval.errors import RobevalError
from robeval.report.compare import compare_runs
from robeval.report.compare_model import OUTCOMES
from robeval.report.compare_words import called, chance, difference, effect, head, notes, setting, values
from robeval.report.compare_words import listed as named
from robeval.report.html.frame import policy_of, templates
from robeval.report.html.page import html_report
from robeval.serve.runs import bring, listed, run_folders, state

HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def make_app(home: Path, hosts: Sequence[str], *, pictures: int = 0) -> Starlette:
    """The application over the runs right under `home`.

    `hosts` are the names under which it may be asked, so that no other page in the browser can read it by a
    name of its own. `pictures` limits the examples of a report; to draw them takes the victims.
    """
    pages = Pages(home, pictures)
    routes = [
        Route("/", pages.index),
        Route("/runs/{name}", pages.run),
        Route("/compare", pages.compare),
    ]
    guard = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={404: pages.unknown})


class Pages:
    """Each page is made when it is asked for, and again when its run has changed."""

    def __init__(self, home: Path, pictures: int) -> None:
        self.home, self.pictures = home, pictures
        self._made: dict[str, tuple[object, str]] = {}
        self._lock = Lock()  # matplotlib draws one picture at a time

    def index(self, request: Request) -> Response:
        """The list of runs."""
        return self._answer(self._index)

    def run(self, request: Request) -> Response:
        """One run's report. The name is looked up among the runs; no path is ever made of it."""
        folder = run_folders(self.home).get(request.path_params["name"])
        if folder is None:
            return self.unknown(request, None)
        return self._answer(lambda: self._report(folder))

    def compare(self, request: Request) -> Response:
        """Two runs side by side."""
        folders = run_folders(self.home)
        before, after = (folders.get(request.query_params.get(side, "")) for side in ("before", "after"))
        metric = request.query_params.get("metric") or None
        if before is None or after is None:
            return self.unknown(request, None)
        return self._answer(lambda: self._compared(before, after, metric))

    def unknown(self, request: Request, error: Exception | None) -> Response:
        """There is no such page or run."""
        return self._page(self._shown("problem.html", problem="There is no such page or run here."), 404)

    def _index(self) -> str:
        bring(self.home, pictures=self.pictures > 0)
        return self._shown("index.html", runs=listed(self.home), home=self.home.name)

    def _report(self, folder: Path) -> str:
        now = state(folder)
        with self._lock:
            before, text = self._made.get(folder.name, (None, ""))
            if before != now:
                text = html_report(folder, pictures=self.pictures, home="/")
                self._made[folder.name] = (now, text)
        return text

    def _compared(self, before: Path, after: Path, metric: str | None) -> str:
        with self._lock:
            found = compare_runs(before, after, [metric] if metric else None)
        groups = [
            (
                outcome,
                meaning,
                [_line(change, found) for change in found.changes if change.outcome == outcome],
            )
            for outcome, meaning in OUTCOMES.items()
        ]
        only = zip(found.names, (found.only_before, found.only_after), strict=True)
        return self._shown(
            "compare.html",
            names=(before.name, after.name),
            head=list(head(found)),
            groups=[group for group in groups if group[2]],
            only=[(name, list(named(places, found))) for name, places in only if places],
            setting=list(setting(found)),
            caveats=found.caveats,
            metrics=[record.name for record in found.after.run.metrics],
            metric=metric or found.metrics[0].name,
        )

    def _shown(self, name: str, **content: Any) -> str:
        return templates("robeval.serve").get_template(name).render(**content)

    def _answer(self, make: Callable[[], str]) -> Response:
        try:
            return self._page(make(), 200)
        except RobevalError as error:
            return self._page(self._shown("problem.html", problem=str(error)), 500)

    def _page(self, text: str, code: int) -> Response:
        return HTMLResponse(text, code, {**HEADERS, "Content-Security-Policy": policy_of()})


def _line(change: Any, found: Any) -> dict[str, Any]:
    return {
        "place": called(change.place, found),
        "figures": (values(change), difference(change), chance(change), effect(change)),
        "notes": notes(change, found),
    }
