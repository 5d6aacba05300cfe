"""Who visits: a cookie jar in front of a wire, and the way to the application's clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from asgi_refresh import Config

from .site import ENDED
from .wire.common import Address, Exchange, Handshake, Response, Wire
from .wire.http1 import HTTP1

ACCESS, REFRESH = Config().access_cookie.name, Config().refresh_cookie.name
OTHERS = {"theme": "dark", "lang": "en"}  # cookies that have nothing to do with us


@dataclass
class Place:
    """
    An application that is being served.

    Attributes:
        address: Where requests go.
        wire: How.
        sockets: Where WebSockets go by HTTP/1.1, which every server takes.
        sends_accept_headers: Whether the server puts what `websocket.accept` says on the wire.
        refuses_by_http2: Whether WebSockets fail by HTTP/2 though it is offered.
        prefix: Of every path, where the application is mounted below one.
    """

    address: Address
    wire: Wire
    sockets: Address
    sends_accept_headers: bool = True
    refuses_by_http2: bool = False
    prefix: str = ""

    def visitor(self) -> Visitor:
        return Visitor(self)

    def websocket_wires(self) -> list[Wire]:
        """Return what a WebSocket may come by."""
        other = not isinstance(self.wire, HTTP1) and self.wire.takes_websockets
        return [HTTP1(self.sockets), *([self.wire] if other else [])]

    async def control(self, verb: str, value: str = "") -> Any:
        """Tell the application what its clock, its role or its gate should do."""
        exchange = await self.wire.send("GET", f"{self.prefix}/-/{verb}/{value}", [])
        response = await exchange.whole()
        assert response.status == 200, f"/-/{verb}/{value}: {response.status}"
        return response.json()

    async def expire(self) -> None:
        """Let every access token end, and every grace window."""
        await self.control("advance", str(ENDED))


@dataclass
class Visitor:
    """One browser profile; the cookies it holds are sent until they are deleted."""

    place: Place
    jar: dict[str, str] = field(default_factory=lambda: dict(OTHERS))

    def copy(self) -> Visitor:
        """Return what a thief of the jar has."""
        return Visitor(self.place, dict(self.jar))

    def pairs(self) -> list[str]:
        return [f"{name}={value}" for name, value in self.jar.items()]

    async def send(
        self, method: str, path: str, *, cookies: Sequence[str] | None = None
    ) -> Exchange:
        """Send a request with *cookies*, each in a header of its own; None: as browsers do."""
        if cookies is None:
            pairs = self.pairs()
            cookies = pairs if self.place.wire.crumbs else ["; ".join(pairs)]
        headers = [("Cookie", line) for line in cookies if line]
        headers.append(("Sec-Fetch-Site", "same-origin"))
        if method == "POST":
            headers.append(("Origin", self.place.address.origin))
        return await self.place.wire.send(method, self.place.prefix + path, headers)

    async def ask(
        self, method: str, path: str, *, cookies: Sequence[str] | None = None
    ) -> Response:
        """Send a request, and take the cookies of its response."""
        response = await (await self.send(method, path, cookies=cookies)).whole()
        self.take(response.all("set-cookie"))
        return response

    async def get(self, path: str, *, cookies: Sequence[str] | None = None) -> Response:
        return await self.ask("GET", path, cookies=cookies)

    async def post(self, path: str) -> Response:
        return await self.ask("POST", path)

    async def sign_in(self, kind: str = "async") -> None:
        response = await self.post(f"/login/{kind}")
        assert response.status == 204, f"sign-in: {response.status} {response.body!r}"
        assert {ACCESS, REFRESH} <= self.jar.keys(), f"sign-in set {response.all('set-cookie')}"

    async def who(self) -> str | None:
        """Return whom the application takes this one for; what stands in front may refuse."""
        response = await self.get("/me")
        if response.status == 401:
            return None
        assert response.status == 200, f"/me: {response.status} {response.body!r}"
        subject: str | None = response.json()["subject"]
        return subject

    async def websocket(self, wire: Wire, *, origin: str | None = None) -> Handshake:
        """Open a WebSocket from our own page, or from that of *origin*."""
        pairs = self.pairs()
        lines = pairs if wire.crumbs else ["; ".join(pairs)]
        headers = [("Origin", origin or self.place.sockets.origin)]
        headers += [("Cookie", line) for line in lines]
        result = await wire.websocket(f"{self.place.prefix}/ws", headers)
        self.take(result.set_cookies)
        return result

    def take(self, lines: Sequence[str]) -> None:
        """Keep the cookies of Set-Cookie *lines*, as strictly as a browser."""
        for line in lines:
            name, _, rest = line.partition("=")
            value, _, attributes = rest.partition(";")
            said = {item.strip().lower() for item in attributes.split(";")}
            assert {"secure", "path=/", "httponly"} <= said, f"a browser refuses {line!r}"
            assert "," not in line, f"joined: {line!r}"
            if "max-age=0" in said:
                self.jar.pop(name, None)
            else:
                self.jar[name] = value
