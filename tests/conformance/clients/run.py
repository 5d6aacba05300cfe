"""Every client, one after the other, against one application each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.conformance.report import seen_on
from tests.conformance.servers import FOR_CLIENTS

from .browsers import BROWSERS
from .libraries import LIBRARIES
from .programs import PROGRAMS
from .session import EXPIRIES, TOGETHER, Application, Client, Missing, keeps_a_session

CLIENTS = {client.name: client for client in (*PROGRAMS, *LIBRARIES, *BROWSERS)}
FRAMEWORK = "starlette"


@dataclass(frozen=True)
class Kept:
    """
    What came of one client.

    Attributes:
        version: Empty where it is not installed.
        wrong: What was seen instead of a session that is kept; empty: it was.
    """

    name: str
    version: str
    wrong: str = ""


def kept(client: Client) -> Kept:
    """Let *client* sign in, and outlive its tokens."""
    try:
        version = client.version()
    except Missing as missing:
        return Kept(client.name, "", str(missing))
    try:
        with FOR_CLIENTS.serving(FRAMEWORK) as (address, _):
            origin = f"https://localhost:{address.port}"
            assert address.trusted is not None
            with client.opened(origin, address.trusted) as ask:
                keeps_a_session(ask, Application(address))
    except Exception as error:  # noqa: BLE001 - whatever it is, the session was not kept
        return Kept(client.name, version, f"{type(error).__name__}: {error}"[:300])
    return Kept(client.name, version)


def table(results: Sequence[Kept]) -> Iterator[str]:
    """Yield the section of the page."""
    yield seen_on()
    yield ""
    yield f"| Client | Version | {EXPIRIES} expiries | {TOGETHER} requests at once |"
    yield "|---|---|---|---|"
    for one in results:
        shown = "no: " + one.wrong if one.wrong else "kept"
        yield f"| {one.name} | {one.version} | {shown} | {'' if one.wrong else 'one rotation'} |"
