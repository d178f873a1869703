"""`robeval serve`: lists, shows and compares runs, and lets nobody out of the folder or in from elsewhere."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import uvicorn

from robeval.cli.serve import _listening, _names
from robeval.errors import UsageError
from robeval.serve.app import make_app
from robeval.serve.runs import state
from tests.report.synthetic_run import write_run

ROOT = Path(__file__).parents[2]
EVIL = "<script>alert(1)</script>"


class Answer(NamedTuple):
    """What came back."""

    code: int
    text: str
    headers: dict[str, str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two runs, a broken one, and things that are no runs; a secret lies beside it."""
    folder = tmp_path_factory.mktemp("home")
    write_run(folder / "runs" / "first", seeds=1)
    write_run(folder / "runs" / "second", seeds=1)
    broken = folder / "runs" / f"broken {EVIL.replace('/', '-')}"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    (folder / "runs" / "notes").mkdir()
    (folder / "run.json").write_text('{"secret": true}')
    return folder / "runs"


@pytest.fixture(scope="module")
def ask(home: Path) -> Iterator[Callable[..., Answer]]:
    """Asks a server in a thread of this process, with the path exactly as given."""
    with _listening("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(make_app(home, _names("127.0.0.1")), log_level="warning", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()

        def get(path: str, host: str = f"localhost:{port}", method: str = "GET") -> Answer:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request(method, path, headers={"Host": host})
            found = connection.getresponse()
            return Answer(found.status, found.read().decode(), {k.lower(): v for k, v in found.getheaders()})

        yield get
        server.should_exit = True
        thread.join(10)


def test_the_list_names_every_run(ask: Callable[..., Answer]) -> None:
    """With its state; a broken one with the reason, and other folders not at all."""
    page = ask("/")
    assert page.code == 200
    assert 'href="/runs/first"' in page.text
    assert "not finished" in page.text
    assert "cannot be read" in page.text
    assert page.text.count('href="/runs/') == 3
    assert "/runs/notes" not in page.text
    assert EVIL not in page.text


def test_a_run_is_shown_with_a_way_back(ask: Callable[..., Answer]) -> None:
    """It is the report, without pictures unless they are asked for."""
    page = ask("/runs/first")
    assert page.code == 200
    assert '<section id="verdict"' in page.text
    assert '<a href="/">robeval</a>' in page.text


def test_two_runs_are_compared(ask: Callable[..., Answer]) -> None:
    """The same figures as `robeval compare`."""
    page = ask("/compare?before=first&after=second&metric=success")
    assert page.code == 200
    assert "the same in every example" in page.text
    assert "success [%]" in page.text


def test_what_cannot_be_compared_is_said(ask: Callable[..., Answer]) -> None:
    """An unknown metric is a message, not a traceback."""
    page = ask("/compare?before=first&after=second&metric=adee")
    assert page.code == 500
    assert "adee" in page.text
    assert "Traceback" not in page.text


@pytest.mark.parametrize(
    "path",
    [
        "/runs/nothing",
        "/runs/notes",
        "/runs/..",
        "/runs/../run.json",
        "/runs/%2e%2e",
        "/runs/..%2f..%2fhome",
        "/runs/first/../../run.json",
        "/runs/first%00",
        "/runs//etc",
        f"/runs/{quote('/etc', safe='')}",
        "/compare?before=..&after=first",
        "/compare?before=first",
        "/run.json",
    ],
)
def test_no_path_leads_out_of_the_folder(ask: Callable[..., Answer], path: str) -> None:
    """Names are looked up among the runs; anything else is 404."""
    page = ask(path)
    assert page.code == 404
    assert "secret" not in page.text


def test_other_names_and_other_methods_are_refused(ask: Callable[..., Answer]) -> None:
    """A page on another site cannot read the runs through a name of its own, and nothing can be written."""
    assert ask("/", host="evil.example").code == 400
    assert ask("/", method="POST").code == 405
    assert ask("/runs/first", method="DELETE").code == 405


def test_pages_are_closed_to_the_world(ask: Callable[..., Answer]) -> None:
    """Every answer says so, errors too."""
    for path in ("/", "/runs/first", "/nowhere"):
        headers = ask(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_a_run_that_changes_is_shown_anew(ask: Callable[..., Answer], home: Path) -> None:
    """The page is kept as long as the run stays as it is, and no longer."""
    before = ask("/runs/second").text
    assert ask("/runs/second").text == before
    path = home / "second" / "run.json"
    record = json.loads(path.read_text())
    was = state(home / "second")
    path.write_text(json.dumps(record | {"command": "robeval run --changed"}))
    assert state(home / "second") != was
    assert "robeval run --changed" in ask("/runs/second").text


def test_serving_writes_nothing(ask: Callable[..., Answer], home: Path) -> None:
    """Not even a cache beside the runs."""

    def everything() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in home.rglob("*")}

    was = everything()
    for path in ("/", "/runs/first", "/compare?before=first&after=second"):
        ask(path)
    assert everything() == was


def test_another_address_needs_a_second_word(robeval: Any, home: Path) -> None:
    """There is no password, so letting others in must be meant."""
    outcome = robeval("serve", home, "--host", "0.0.0.0", "--port", "0")
    assert outcome.code == 2
    assert "--allow-remote" in outcome.err


def test_a_folder_that_is_not_there(robeval: Any, tmp_path: Path) -> None:
    """The message names it and says which folder is wanted."""
    outcome = robeval("serve", tmp_path / "nowhere", "--port", "0")
    assert outcome.code == 2
    assert "nowhere" in outcome.err


def test_a_port_that_is_taken() -> None:
    """The message says what to choose."""
    with _listening("127.0.0.1", 0) as listener, pytest.raises(UsageError, match="another --port"):
        _listening("127.0.0.1", listener.getsockname()[1])


def test_a_missing_extra_says_what_to_install(
    robeval: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exact command."""
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    outcome = robeval("serve", home)
    assert outcome.code == 2
    assert "pip install 'robeval[serve]'" in outcome.err


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_it_with_130(home: Path) -> None:
    """It says where it listens, and leaves no traceback."""
    folders = [ROOT, *(ROOT / name for name in ("attacks", "defenses", "datasets"))]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders)), "PYTHONUNBUFFERED": "1"}
    words = [sys.executable, "-m", "robeval", "serve", str(home), "--port", "0"]
    with subprocess.Popen(
        words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "3 runs of" in line
        port = int(line.split("127.0.0.1:")[1].split("/")[0])
        for _ in range(100):  # the address is said just before the first request is taken
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/nowhere")
                assert connection.getresponse().status == 404
                break
            except ConnectionError:
                time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        _, complaints = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in complaints
