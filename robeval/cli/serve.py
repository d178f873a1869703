"""`robeval serve`: the runs of a folder in the browser."""

from __future__ import annotations

import socket

import click

from robeval.errors import MissingExtra, UsageError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
PORT = 8642


@click.command("serve")
@click.argument("runs", metavar="[RUNS]", default="runs")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0 takes any free one."
)
@click.option("--allow-remote", is_flag=True, help="Let other machines in: needed for any other --host.")
@click.option(
    "--max-pictures", type=click.IntRange(0), default=0, show_default=True, help="Examples drawn per report."
)
@click.option("--open", "open_", is_flag=True, help="Show it in the browser.")
def command(runs: str, host: str, port: int, allow_remote: bool, max_pictures: int, open_: bool) -> None:
    """List the runs in the folder or at the URL RUNS (by default: runs), show them, compare two. Ctrl-C ends it.

    Nothing is written, and only this machine is answered. A run that changes is shown anew.
    """
    _refuse_remote(host, allow_remote)
    _need_extra()
    import uvicorn

    from robeval.results.places import local_folder
    from robeval.serve.app import make_app
    from robeval.serve.runs import bring, run_folders

    home = local_folder(runs)
    bring(home, pictures=max_pictures > 0)
    count = len(run_folders(home))
    with _listening(host, port) as listener:
        port = listener.getsockname()[1]
        app = make_app(home, _names(host), pictures=max_pictures)
        address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
        click.echo(f"{count} runs of {runs} at {address} (Ctrl-C ends it)")
        if open_:
            click.launch(address)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        server.run(sockets=[listener])
    raise KeyboardInterrupt  # it ends by Ctrl-C only; where uvicorn keeps that to itself, we say it


def _refuse_remote(host: str, allow_remote: bool) -> None:
    if host in LOOPBACK:
        return
    if not allow_remote:
        raise UsageError(
            f"--host {host} would let other machines read these runs, without a password. "
            "If that is meant, add --allow-remote; for this machine alone leave out --host."
        )
    click.echo(f"warning: whoever reaches {host} can read these runs; there is no password", err=True)


def _need_extra() -> None:
    for module in ("starlette", "uvicorn"):
        try:
            __import__(module)
        except ImportError:
            raise MissingExtra("robeval serve", module, "serve") from None


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise UsageError(
            f"cannot listen on {host}, port {port}: {error.strerror}. Choose another --port; 0 takes any free one."
        ) from None


def _names(host: str) -> list[str]:
    """The names under which a browser may ask."""
    if host in ("0.0.0.0", "::"):
        return ["*"]
    return [host, *LOOPBACK] if host in LOOPBACK else [host]
