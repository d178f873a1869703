"""What every page of ours is made with: templates that escape, and a frame that lets nothing in or out."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

HOME = "robeval.report.html"


@cache
def templates(package: str = HOME) -> Environment:
    """The templates of a package, with ours beside them. Whatever they print is escaped."""
    from jinja2 import ChoiceLoader

    homes = dict.fromkeys((package, HOME))
    environment = Environment(
        loader=ChoiceLoader([PackageLoader(home, "templates") for home in homes]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script, style = own_file("report.js"), own_file("report.css")
    environment.globals |= {
        "script": Markup(script),
        "style": Markup(style),
        "policy": policy(script),
    }
    return environment


def own_file(name: str) -> str:
    """A file of ours that is put into the page as it is."""
    return files(HOME).joinpath("templates", name).read_text(encoding="utf-8")


def policy(script: str) -> str:
    """What the browser may do with the page: show it, and run this one script; nothing from or to elsewhere."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'self'"
    )


def policy_of() -> str:
    """The policy of our pages as a server sends it: no other page may frame them either."""
    return f"{policy(own_file('report.js'))}; frame-ancestors 'none'"
