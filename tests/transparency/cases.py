"""The applications, each as it says who somebody is, and as it streams."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from .visitor import Visitor

Who = Callable[[Visitor], str | None]


@dataclass(frozen=True)
class Application:
    """
    One that is not ours.

    Attributes:
        name: Of its module in `apps`.
        title: For people.
        packages: Whose versions matter.
        shows: What is asked of it, for people.
        who: Asks it who the visitor is.
        stream: Asks it, as the last thing, for what comes in pieces; None: it has nothing.
        sign_in: The application's own where it has one.
        sign_out: As well.
        by_websocket: Whether that is how it streams.
    """

    name: str
    title: str
    packages: tuple[str, ...]
    shows: str
    who: Who
    stream: Callable[[Visitor], object] | None = None
    sign_in: Callable[[Visitor], None] = Visitor.sign_in
    sign_out: Callable[[Visitor], None] = Visitor.sign_out
    by_websocket: bool = False


# --- datasette ------------------------------------------------------------------------------------


def _actor(visitor: Visitor) -> str | None:
    actor = visitor.ask("GET", "/-/actor.json").json()["actor"]
    return actor["id"] if actor else None


def _rows(visitor: Visitor) -> list[str]:
    with visitor.streaming("GET", "/numbers/numbers.csv?_stream=on") as response:
        lines = [*response.iter_lines()]
    assert lines == ["number", *map(str, range(5000))], f"{len(lines)} lines"
    return lines


# --- Django's admin -------------------------------------------------------------------------------


def _admin(visitor: Visitor) -> str | None:
    response = visitor.ask("GET", "/admin/")
    if response.status_code == 302:
        return None
    found = re.search(r"<strong>(\w+)</strong>", response.text)
    assert found, f"{response.status_code}: {response.text[:200]}"
    return found[1]


def _form(visitor: Visitor, path: str, page: str, **fields: str) -> None:
    """Fill in the form of *page* and send it to *path*."""
    shown = visitor.ask("GET", page)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', shown.text)
    assert token, f"{page}: {shown.status_code}"
    sent = visitor.ask("POST", path, data={"csrfmiddlewaretoken": token[1], **fields})
    assert sent.status_code in (200, 302), f"{path}: {sent.status_code}"


def _admin_sign_in(visitor: Visitor) -> None:
    from .apps.django import PASSWORD

    _form(visitor, "/admin/login/", "/admin/login/", username="alice", password=PASSWORD)
    del visitor.jar["sessionid"]  # Django's own, which would keep the visitor signed in


def _admin_sign_out(visitor: Visitor) -> None:
    _form(visitor, "/admin/logout/", "/admin/")


# --- FastMCP --------------------------------------------------------------------------------------


class _Caller:
    """A client of the Model Context Protocol, by streamable HTTP."""

    def __init__(self, visitor: Visitor) -> None:
        self._visitor, self._headers = visitor, {"Accept": "application/json, text/event-stream"}
        information = {"name": "visitor", "version": "1"}
        self._post(
            "initialize",
            protocolVersion="2025-06-18",
            capabilities={},
            clientInfo=information,
        )
        self._post("notifications/initialized", number=None)

    def _post(self, method: str, number: int | None = 1, **parameters: Any) -> list[Any]:
        message = {"jsonrpc": "2.0", "method": method, "params": parameters}
        if number is not None:
            message["id"] = number
        with self._visitor.streaming("POST", "/mcp", self._headers, json=message) as response:
            assert response.status_code in (200, 202), f"{method}: {response.status_code}"
            session = response.headers.get("mcp-session-id")
            self._headers |= {"Mcp-Session-Id": session} if session else {}
            return [*_events(response.iter_lines())]

    def call(self, tool: str) -> list[Any]:
        """Call *tool*, and return every message that comes."""
        meta = {"progressToken": "p"}
        return self._post("tools/call", number=2, name=tool, arguments={}, _meta=meta)


def _events(lines: Iterator[str]) -> Iterator[Any]:
    for line in lines:
        if line.startswith("data:") and line[5:].strip():
            yield json.loads(line[5:])


def _caller(visitor: Visitor) -> str | None:
    *_, answer = _Caller(visitor).call("whoami")
    text = answer["result"]["content"][0]["text"]
    return None if text == "None" else text


def _progress(visitor: Visitor) -> list[str]:
    caller = _Caller(visitor)
    visitor.expire()  # it has asked already
    messages = caller.call("count")
    assert [each.get("method") for each in messages[:-1]] == ["notifications/progress"] * 3
    return [json.dumps(each) for each in messages]


# --- sse-starlette --------------------------------------------------------------------------------


def _told(visitor: Visitor) -> list[str]:
    with visitor.streaming("GET", "/events") as response:
        lines = [line for line in response.iter_lines() if line.startswith("data:")]
    assert len(lines) == 3, f"{lines}"
    assert len(set(lines)) == 1, f"{lines}"
    return [line[5:].strip() for line in lines]


def _listener(visitor: Visitor) -> str | None:
    name = _told(visitor)[0]
    return None if name == "None" else name


# --- Strawberry -----------------------------------------------------------------------------------


def _asked(visitor: Visitor) -> str | None:
    response = visitor.ask("POST", "/graphql", json={"query": "{ who }"})
    name: str | None = response.json()["data"]["who"]
    return name


def _subscribed(visitor: Visitor) -> list[str]:
    from websockets.sync.client import connect

    headers = visitor.headers()
    with connect(
        f"ws://{visitor.host}/graphql",
        origin=headers.pop("Origin"),  # type: ignore[arg-type]
        additional_headers=headers,
        subprotocols=["graphql-transport-ws"],  # type: ignore[list-item]
    ) as socket:
        assert socket.response is not None
        visitor.take(socket.response.headers.get_all("set-cookie"))
        socket.send(json.dumps({"type": "connection_init"}))
        assert json.loads(socket.recv(10))["type"] == "connection_ack"
        query = {"query": "subscription { told }"}
        socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": query}))
        messages = [json.loads(socket.recv(10)) for _ in range(4)]
    assert [each["type"] for each in messages] == ["next", "next", "next", "complete"]
    return [each["payload"]["data"]["told"] for each in messages[:-1]]


APPLICATIONS = {
    one.name: one
    for one in (
        Application(
            "datasette",
            "Datasette",
            ("datasette",),
            "the hook `actor_from_request`; a table as a stream of CSV",
            _actor,
            _rows,
        ),
        Application(
            "django",
            "Django's admin",
            ("django",),
            "its own sign-in and sign-out, handed over by two signals; `UserMiddleware`",
            _admin,
            sign_in=_admin_sign_in,
            sign_out=_admin_sign_out,
        ),
        Application(
            "fastmcp",
            "FastMCP",
            ("fastmcp", "mcp"),
            "a tool that is called by streamable HTTP, and reports its progress",
            _caller,
            _progress,
        ),
        Application(
            "sse_starlette",
            "sse-starlette",
            ("sse-starlette",),
            "events, of which each says who listens",
            _listener,
            _told,
        ),
        Application(
            "strawberry",
            "Strawberry GraphQL",
            ("strawberry-graphql",),
            "a query; a subscription by WebSocket",
            _asked,
            _subscribed,
            by_websocket=True,
        ),
    )
}
