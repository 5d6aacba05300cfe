"""
`doctor`: what a running application looks like from outside.
"""

from __future__ import annotations

import textwrap
from dataclasses import asdict
from typing import Final, TextIO

import click

from .finding import Finding, Level
from .findings import judge
from .output import as_json, listed, say, say_json
from .probing import Target, UnreachableError, visit
from .stores import Failed

_MOST: Final = 65536  # characters
_STYLES: Final[dict[Level, str]] = {"bad": "bold red", "note": "yellow", "good": "green"}


@click.command(
    epilog=listed(
        "Examples:",
        "asgi-refresh doctor https://app.example/account",
        "asgi-refresh doctor https://app.example/account --login /login --body - < doctor.json",
        "asgi-refresh doctor http://localhost:8000 --json",
    )
)
@click.argument("url")
@click.option("--login", metavar="PATH", help="POST --body there first, and look at the cookies.")
@click.option(
    "--body",
    type=click.File(errors="surrogateescape"),
    metavar="FILE",
    help="JSON or a form for --login; - is standard input.",
)
@click.option(
    "--cookies",
    type=click.File(errors="surrogateescape"),
    metavar="FILE",
    help="A Cookie header of a session made for this, where --login cannot; - is standard input.",
)
@click.option(
    "--ca", type=click.Path(exists=True, dir_okay=False), help="Certificates to trust, as PEM."
)
@click.option(
    "--timeout", type=click.FloatRange(0.1, 300), default=10.0, help="Seconds for each answer."
)
@as_json
def doctor(
    url: str,
    login: str | None,
    body: TextIO | None,
    cookies: TextIO | None,
    ca: str | None,
    timeout: float,
    *,
    as_json: bool,
) -> int:
    """
    Ask the application at URL, and explain what is found and how to mend it.

    Cookies, what caches are told, requests from other sites, CORS, HSTS, and what a proxy loses.
    URL is best a page for one user. Safe for production: it GETs the page, asks with OPTIONS, and
    POSTs nothing to a path that does not exist, with cookies that are no tokens; the application
    logs refused origins. Only with --login it signs in, as whom you say, and GETs the page with
    what it gets; the session is left to expire. Passwords and cookies are read from files.

    Exit code 1 says that something bad was found, or that there was no answer.
    """
    if (login is None) != (body is None):
        raise click.UsageError("--login and --body go together")
    if login is not None and not login.startswith("/"):
        raise click.UsageError("--login is a path that starts with '/'")
    target = Target.of(url, ca=ca, timeout=timeout)
    try:
        found = judge(visit(target, login=login, body=_read(body), cookies=_read(cookies)))
    except UnreachableError as error:
        raise Failed(f"no answer from {target.origin}: {error}") from error
    bad = sum(finding.level == "bad" for finding in found)
    if as_json:
        say_json({"url": f"{target.origin}{target.path}", "findings": list(map(asdict, found))})
        return int(bad > 0)
    for finding in found:
        _say(finding)
    say("nothing bad" if not bad else f"{bad} bad", "bold")
    return int(bad > 0)


def _read(file: TextIO | None) -> str:
    return "" if file is None else file.read(_MOST).strip()


def _say(finding: Finding) -> None:
    say(f"{finding.level:<5} {finding.name}", _STYLES[finding.level])
    for label, text in (("seen", finding.seen), ("why", finding.why), ("fix", finding.fix)):
        for number, line in enumerate(textwrap.wrap(text, 88, break_on_hyphens=False)):
            say(f"      {'' if number else label:<5}{line}")
    say()
