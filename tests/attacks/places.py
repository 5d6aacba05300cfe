"""
Every place that a token can come from, and what becomes of a request that brings one there.

    @pytest.mark.parametrize("place", PLACES, ids=str)
    async def test_AB_1_garbage_is_nobody(clock: Clock, place: Place) -> None:
        site = Site(clock)
        (await place.put(site, "a.b")).nobody()

A `Place` is one way in; `Place.put` sends one request (or makes one call) that has nothing but
that token and returns its `Outcome`. What is raised on the way is not caught.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote_from_bytes

from asgi_refresh import (
    Event,
    Issuer,
    RefreshEndpoint,
    RefreshMiddleware,
    Tokens,
    Verifier,
    VerifierMiddleware,
)
from asgi_refresh.errors import InvalidTokenError
from tests.hostile.tools import http as http_scope
from tests.hostile.tools import set_cookies
from tests.hostile.tools import websocket as websocket_scope
from tests.support import Clock, Message, Spy, whoami
from tests.tokens import forge

Header = tuple[bytes, bytes]
ENDPOINT = "/auth/refresh"
OWN: tuple[Header, ...] = (
    (b"origin", b"https://app.example"),
    (b"sec-fetch-site", b"same-origin"),
)
WRITES = frozenset({"add", "replace", "revoke", "revoke_subject"})


class Site:
    """
    An application behind everything of ours that reads a token.

    Its access key is `forge.KEY` and its secret `forge.SECRET`, so that `forge.token` signs as it
    does; its clock begins at `forge.NOW`. `store=None` is a site without a store.
    """

    def __init__(
        self,
        clock: Clock,
        app: Any = whoami,
        *,
        store: Any = ...,
        key: Any = forge.KEY,
        verifier: Any = ...,
        **issuer: Any,
    ) -> None:
        self.clock, self.events = clock, list[Event]()
        self.spy: Any = Spy() if store is ... else store
        issuer.setdefault("secret", forge.SECRET)
        issuer.setdefault("on_event", self.events.append)
        self.issuer = Issuer(key, store=self.spy, clock=clock, **issuer)
        self.config = config = self.issuer.config
        self.access, self.refresh = config.access_cookie.name, config.refresh_cookie.name
        endpoints = {ENDPOINT: RefreshEndpoint(self.issuer)}
        self.app = RefreshMiddleware(app, self.issuer, endpoints=endpoints)
        self.verifier = Verifier(
            key if verifier is ... else verifier,
            issuer=config.issuer,
            audience=config.audience,
            leeway=config.leeway.total_seconds(),
            clock=clock,
        )
        self.reader = VerifierMiddleware(app, self.verifier, cookie=self.access)

    async def issue(self, subject: str = "alice", claims: Any = None, **kwargs: Any) -> Tokens:
        """Begin a session, and forget what that took."""
        tokens = await self.issuer.issue(subject, claims, **kwargs)
        self.forget()
        return tokens

    async def genuine(self, place: Place, subject: str = "alice") -> str:
        """A token that is good in *place*."""
        tokens = await self.issue(subject)
        return tokens.access_token if place.kind == "access" else tokens.refresh_token

    def forget(self) -> None:
        self.events.clear()
        if isinstance(self.spy, Spy):
            self.spy.calls.clear()

    def cookies(self, *pairs: tuple[str | bytes, str | bytes]) -> Header:
        """A Cookie header of exactly *pairs*."""
        return b"cookie", b"; ".join(octets(name) + b"=" + octets(value) for name, value in pairs)

    async def http(
        self,
        *headers: Header,
        app: Any = None,
        path: str = "/",
        method: str = "GET",
        body: bytes = b"",
        raw: Iterable[bytes] = (),
        **scope: Any,
    ) -> Outcome:
        """Send a request with exactly *headers* and Host; *raw* must show up nowhere after it."""
        self.forget()
        inbox: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        full = http_scope(path, method, headers=headers, **scope)
        sent = await _run(self.app if app is None else app, full, inbox)
        return self._outcome(sent, is_endpoint=path == ENDPOINT, raw=raw)

    async def websocket(
        self, *headers: Header, app: Any = None, raw: Iterable[bytes] = (), **scope: Any
    ) -> Outcome:
        """Do a handshake with exactly *headers* and Host."""
        self.forget()
        full = websocket_scope(headers=headers, **scope)
        sent = await _run(self.app if app is None else app, full, [{"type": "websocket.connect"}])
        return self._outcome(sent, is_endpoint=False, raw=raw)

    def _outcome(
        self, sent: list[Message], *, is_endpoint: bool, raw: Iterable[bytes] = ()
    ) -> Outcome:
        kinds = [message["type"] for message in sent]
        starts = [m for m in sent if m["type"].endswith("http.response.start")]
        assert len(starts) <= 1, kinds
        body = b"".join(m.get("body", b"") for m in sent)
        if "websocket.accept" in kinds:
            status = 101
            body = next(m["text"] for m in sent if m["type"] == "websocket.send").encode()
        elif starts:
            status = starts[0]["status"]
        else:
            assert kinds == ["websocket.close"], kinds
            status = 403
        headers = [(bytes(n), bytes(v)) for m in sent for n, v in m.get("headers", ())]
        told = json.loads(body) if body[:1] == b"{" else {}
        subject = told.get("subject")
        if is_endpoint and status == 200:
            access = told.get("access_token") or _value(set_cookies(sent), self.access)
            subject = self.issuer.verify(access)["sub"]
        return Outcome(
            status=status,
            subject=subject,
            reason=told.get("error") if is_endpoint else told.get("reason"),
            set_cookies=[line.decode("latin-1") for line in set_cookies(sent)],
            events=list(self.events),
            writes=self.writes(),
            headers=headers,
            body=body,
            told=told,
            sent=sent,
            secrets=tuple(raw),
        )

    def writes(self) -> list[str]:
        """The store's writes since the last request began."""
        calls = self.spy.calls if isinstance(self.spy, Spy) else []
        return [call for call in calls if call in WRITES]


@dataclass(frozen=True, slots=True)
class Outcome:
    """
    What became of a request.

    Attributes:
        status: Of the response; 101 for a WebSocket that was accepted, 403 for one that was not.
            Of a call 200, or the status of the error.
        subject: Whom the application saw, or whose tokens were handed out; None is nobody.
        reason: Why nobody: of the `Auth`, or the error code of an endpoint.
        set_cookies: The values of all Set-Cookie headers.
        events: Every event of the request.
        writes: The writes to the store that it caused.
        headers, body, told: The response; *told* is its body as JSON, if it is an object.
        sent: The ASGI messages.
        place: Where the token was put, or None.
        secrets: What must show up in no event and no response.
    """

    status: int
    subject: str | None
    reason: str | None
    set_cookies: list[str]
    events: list[Event]
    writes: list[str] = field(default_factory=list)
    headers: list[Header] = field(default_factory=list)
    body: bytes = field(default=b"", repr=False)
    told: dict[str, Any] = field(default_factory=dict, repr=False)
    sent: list[Message] = field(default_factory=list, repr=False)
    place: Place | None = None
    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def refused(self) -> bool:
        return self.subject is None

    def named(self, name: str) -> list[Event]:
        return [event for event in self.events if event.name == name]

    def header(self, name: str) -> list[str]:
        wanted = name.encode()
        return [value.decode("latin-1") for key, value in self.headers if key.lower() == wanted]

    def is_of(self, subject: str, note: object = "") -> Outcome:
        """Assert that the token was believed."""
        assert (self.subject, self.status in (200, 101)) == (subject, True), (note, self)
        return self

    def nobody(
        self,
        note: object = "",
        *,
        reason: str | Iterable[str] = "invalid_token",
        malformed: bool = False,
    ) -> Outcome:
        """
        Assert the one refusal: constant words, no cookie, no write, one event, no token in it.

        Args:
            note: Which case it is, for the message of a failure.
            reason: What an `Auth` must give as its reason; or several, any of which will do.
            malformed: It may also be no proper request: then an endpoint may say
                `invalid_request`, and a header is no credential at all.
        """
        reasons = {reason} if isinstance(reason, str) else set(reason)
        assert self.subject is None, (note, self)
        assert self.set_cookies == [], (note, self)
        assert self.writes == [], (note, self)
        if self.place is not None and self.place.is_endpoint:
            answers = {self.place.refusal} | ({(400, "invalid_request")} if malformed else set())
            assert (self.status, self.reason) in answers, (note, self)
        else:
            answers = reasons | ({"no_credentials"} if malformed else set())
            assert self.status in (200, 101, 401), (note, self)
            assert self.reason in answers, (note, self)
        if self.place is None or self.place.tells:
            silent = self.reason in ("no_credentials", "invalid_request")  # nothing was looked at
            told = [(event.name, event.reason) for event in self.events]
            assert told == ([] if silent else [("rejected", self.told_reason)]), (note, self)
        self.hides(note)
        return self

    @property
    def told_reason(self) -> str | None:
        """The reason that an event has: an endpoint tells its client less."""
        if self.place is not None and self.place.is_endpoint:
            return self.events[0].reason if self.events else "invalid_token"
        return self.reason

    def hides(self, note: object = "") -> None:
        """Assert that no secret shows up in an event or in the response."""
        # The application may tell of the Cookie header that it got.
        body = {name: value for name, value in self.told.items() if name != "cookie_headers"}
        everywhere = repr((self.events, self.headers, body)).encode()
        everywhere += b"" if self.told else self.body
        for secret in self.secrets:
            assert len(secret) < 8 or secret not in everywhere, (note, secret)


@dataclass(frozen=True, slots=True)
class Place:
    """
    One place that a token can come from.

    Attributes:
        name: Which.
        kind: The kind of token that is good there.
        send: Sends a request with nothing but this token in it.
        is_endpoint: Whether it is the refresh endpoint: then it does not answer with an `Auth`.
        tells: Whether a refusal is an event.
        refusal: Status and error code of an endpoint for a bad token.
        is_header: Whether the token stands in an HTTP header, as bytes.
    """

    name: str
    kind: Literal["access", "refresh"]
    send: Callable[[Site, bytes, Iterable[Header]], Awaitable[Outcome]] = field(repr=False)
    is_endpoint: bool = False
    tells: bool = True
    refusal: tuple[int, str] = (401, "invalid_token")
    is_header: bool = True

    def __str__(self) -> str:
        return self.name

    async def put(self, site: Site, raw: str | bytes, *headers: Header) -> Outcome:
        """Send *raw* here, with *headers* besides, and return what became of it."""
        site.forget()
        spelled = octets(raw)
        outcome = await self.send(site, spelled, headers)
        at = {"place": self, "secrets": (*outcome.secrets, spelled)}
        return Outcome(**{name: getattr(outcome, name) for name in outcome.__slots__} | at)


def octets(raw: str | bytes) -> bytes:
    """A token as bytes: UTF-8, and a lone surrogate as the three octets it would have."""
    return raw.encode("utf-8", "surrogatepass") if isinstance(raw, str) else raw


def bearer(raw: str | bytes) -> Header:
    return b"authorization", b"Bearer " + octets(raw)


async def _run(app: Any, scope: Any, inbox: list[Message]) -> list[Message]:
    """Run *app* once and return what it sent; without a turn of the loop between, for speed."""
    sent: list[Message] = []
    gone: Message = {"type": f"{scope['type']}.disconnect"}

    async def receive() -> Message:
        return inbox.pop(0) if inbox else gone

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def _value(lines: Iterable[bytes], name: str) -> str:
    for line in lines:
        pair = line.partition(b";")[0].partition(b"=")
        if pair[0] == name.encode():
            return pair[2].decode()
    raise AssertionError(f"no cookie {name}")


async def _access_cookie(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.http(site.cookies((site.access, raw)), *more)


async def _refresh_cookie(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.http(site.cookies((site.refresh, raw)), *more)


async def _bearer(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.http(bearer(raw), *more)


async def _websocket_access(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.websocket(*OWN[:1], site.cookies((site.access, raw)), *more)


async def _websocket_refresh(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.websocket(*OWN[:1], site.cookies((site.refresh, raw)), *more)


async def _websocket_bearer(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.websocket(*OWN[:1], bearer(raw), *more)


async def _post(site: Site, *headers: Header, body: bytes = b"") -> Outcome:
    return await site.http(*headers, path=ENDPOINT, method="POST", body=body)


async def _endpoint_header(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await _post(site, bearer(raw), *more)


async def _endpoint_json(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    # Octets beyond UTF-8 become the characters of their values: JSON has no others.
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    body = json.dumps({"refresh_token": text}).encode()
    return await _post(site, (b"content-type", b"application/json"), *more, body=body)


async def _endpoint_form(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    form = (b"content-type", b"application/x-www-form-urlencoded")
    body = b"grant_type=refresh_token&refresh_token=" + quote_from_bytes(raw, safe="").encode()
    return await _post(site, form, *more, body=body)


async def _endpoint_cookie(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await _post(site, *OWN, site.cookies((site.refresh, raw)), *more)


async def _reader_cookie(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.http(site.cookies((site.access, raw)), *more, app=site.reader)


async def _reader_bearer(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.http(bearer(raw), *more, app=site.reader)


async def _reader_websocket(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await site.websocket(bearer(raw), *more, app=site.reader)


async def _called(site: Site, call: Callable[[str], Awaitable[Any]], raw: bytes) -> Outcome:
    try:
        text = raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
    try:
        subject = (await call(text))["sub"]
    except InvalidTokenError as error:
        return Outcome(
            status=error.status,
            subject=None,
            reason=error.reason,
            set_cookies=[],
            events=list(site.events),
            writes=site.writes(),
            body=str(error).encode(),
        )
    return Outcome(200, subject, None, [], list(site.events), site.writes())


async def _verifier(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await _called(site, site.verifier.authenticate, raw)


async def _issuer_authenticate(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    return await _called(site, site.issuer.authenticate, raw)


async def _issuer_refresh(site: Site, raw: bytes, more: Iterable[Header]) -> Outcome:
    async def refresh(text: str) -> Any:
        return site.issuer.verify((await site.issuer.refresh(text)).access_token)

    return await _called(site, refresh, raw)


PLACES = [
    Place("access cookie", "access", _access_cookie),
    Place("refresh cookie", "refresh", _refresh_cookie),
    Place("bearer", "access", _bearer),
    Place("endpoint header", "refresh", _endpoint_header, is_endpoint=True),
    Place("endpoint JSON", "refresh", _endpoint_json, is_endpoint=True, is_header=False),
    Place(
        "endpoint form",
        "refresh",
        _endpoint_form,
        is_endpoint=True,
        refusal=(400, "invalid_grant"),
        is_header=False,
    ),
    Place("endpoint cookie", "refresh", _endpoint_cookie, is_endpoint=True),
    Place("verifier cookie", "access", _reader_cookie, tells=False),
    Place("verifier bearer", "access", _reader_bearer, tells=False),
    Place("verifier websocket", "access", _reader_websocket, tells=False),
    Place("websocket access cookie", "access", _websocket_access),
    Place("websocket refresh cookie", "refresh", _websocket_refresh),
    Place("websocket bearer", "access", _websocket_bearer),
    Place("Verifier.authenticate", "access", _verifier, tells=False, is_header=False),
    Place("Issuer.authenticate", "access", _issuer_authenticate, tells=False, is_header=False),
    Place("Issuer.refresh", "refresh", _issuer_refresh, tells=False, is_header=False),
]
ACCESS_PLACES = [place for place in PLACES if place.kind == "access"]
REFRESH_PLACES = [place for place in PLACES if place.kind == "refresh"]
