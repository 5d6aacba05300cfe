"""
The response side: what a request leaves to be written, and the cookies that go out with it.

Everything is decided and committed when the response starts. So an application that crashes, a
client that leaves and a handler that takes its time have changed nothing before.
"""

from __future__ import annotations

import contextlib
from math import ceil

import anyio
from starlette.types import Message, Send

from .auth import Auth
from .caching import Headers, forbid_caching, is_shared_cacheable, vary_on_cookie
from .cookies import read_set_cookie
from .credentials import bearer_token, client_of, cookie_header, read_cookies, request_headers
from .errors import AccessDeniedError, ClaimsUnavailable, InvalidTokenError, StoreUnavailable
from .events import Client, Event
from .grants import Grant, Look
from .intents import PENDING, READ, REPLACED, STARTED, Elevate, Login, Logout
from .shell import Cookies, Shell, refusal, respond


class Exchange:
    """
    One request that has something to write.

    Attributes:
        look: A refresh that is to be settled.
        dead: Cookies of an ended session, to be deleted.
    """

    def __init__(self, shell: Shell[Exchange], auth: Auth) -> None:
        assert auth._scope is not None  # noqa: S101 - the request is still open
        self._shell, self._auth, self._scope = shell, auth, auth._scope
        self._headers = request_headers(auth._scope)
        self._cookies: Cookies | None = None
        self.look: Look | None = None
        self.dead: frozenset[bytes] = frozenset()

    @property
    def client(self) -> Client:
        """Who is at the other end."""
        return client_of(self._scope, self._headers)

    # --- the intents ----------------------------------------------------------------------------

    async def commit(self) -> None:
        """Do what the handler recorded; an error leaves it recorded."""
        intent = self._auth._intent
        if isinstance(intent, Login):
            await self._login(intent)
        elif isinstance(intent, Elevate):
            await self._elevate(intent)
        elif isinstance(intent, Logout):
            await self._logout(intent)
        self._auth._intent = None
        self._auth._state |= PENDING

    async def _login(self, intent: Login) -> None:
        shell, client = self._shell, self.client
        issuer = shell.issuer
        origin = None
        if self._auth._how.via != "bearer" and not shell.is_exempt(self._scope):
            origin = shell.foreign_origin(self._scope, self._headers)
        if origin is not None:
            text = refusal(origin)
            issuer.emit(Event("cross_origin", reason="login", detail=text, client=client))
            raise AccessDeniedError(text)
        if intent.everywhere is not None and issuer.rotating is not None:
            await issuer.rotating.end_subject(intent.everywhere, client=client)
        grant = await issuer.mode.begin(intent.session, client=client)
        earlier = self._cookie_sessions()
        for session_id in earlier:
            with contextlib.suppress(StoreUnavailable):  # told by an event; the login stands
                await issuer.mode.end(session_id, reason="login", client=client)
        shell.warn_insecure(self._scope, self._headers.get(b"host", ()))
        self._hand_out(grant, shell.burial(earlier))

    async def _elevate(self, intent: Elevate) -> None:
        rotating = self._shell.issuer.rotating
        assert rotating is not None  # noqa: S101 - Auth.elevate asked
        try:
            grant = await rotating.barrier(intent.session_id, intent.claims, step_up=True)
        except InvalidTokenError:
            raise AccessDeniedError("the session ended while its privileges changed") from None
        self._hand_out(grant, [])

    async def _logout(self, intent: Logout) -> None:
        issuer, client = self._shell.issuer, self.client
        if intent.everywhere is not None and issuer.rotating is not None:
            await issuer.rotating.end_subject(intent.everywhere, client=client)
        for session_id in self._sessions():
            await issuer.mode.end(session_id, reason="logout", client=client)
        self._cookies = self._farewell()

    def _hand_out(self, grant: Grant, also: Cookies) -> None:
        self._auth._token = grant.minted.token
        self._cookies = self._shell.cookies(grant) + also

    def _farewell(self) -> Cookies:
        shell = self._shell
        return shell.deletions(shell.names) + shell.burial(self._sessions())

    def _cookie_sessions(self) -> frozenset[str]:
        """Every session that the request holds a genuine token of in our cookies."""
        if self._shell.is_exempt(self._scope):
            return frozenset()
        header = cookie_header(self._headers)
        return read_cookies(self._shell.issuer, header, self._shell.tombstone).sessions

    def _sessions(self) -> frozenset[str]:
        """Every session that the request holds a genuine token of."""
        issuer, sessions = self._shell.issuer, self._cookie_sessions()
        bearer = bearer_token(self._headers) if issuer.config.bearer else None
        if bearer is not None:
            with contextlib.suppress(InvalidTokenError):
                sessions |= {issuer.read_access(bearer).session_id}
        return sessions

    async def finish(self) -> None:
        """The application is done: a logout that no response has carried is still one."""
        if isinstance(self._auth._intent, Logout):
            bound = 2 * self._shell.issuer.mint.timeout
            with (
                contextlib.suppress(StoreUnavailable),
                anyio.move_on_after(bound, shield=True),
            ):
                await self.commit()

    # --- the response ---------------------------------------------------------------------------

    async def start(self, message: Message, send: Send) -> None:
        """Send the start of the response, with the cookies that are due by now."""
        auth = self._auth
        if message.get("status", 200) < 200:
            await send(message)  # an interim response; nothing is settled before the final one
            return
        headers: Headers = [(name, value) for name, value in message.get("headers", ())]
        own = self._own_cookies(headers)
        auth._state |= STARTED
        try:
            due = await self._due(message.get("status", 101), headers, own)
        except AccessDeniedError as error:
            await self._answer(send, 403, str(error), [])
        except (StoreUnavailable, ClaimsUnavailable):
            failed_logout = isinstance(auth._intent, Logout)
            cookies = self._farewell() if failed_logout else []
            await self._answer(send, 503, "The session store is not available.", cookies)
        else:
            cookies = [cookie for cookie in due if cookie[0] not in own]  # the application wins
            if cookies:
                headers = forbid_caching(headers)
                headers += [(b"set-cookie", value) for _, value in cookies]
            if cookies or auth._state & READ:
                headers = vary_on_cookie(headers)
            await send({**message, "headers": headers} if headers else message)

    def _own_cookies(self, headers: Headers) -> dict[bytes, bool]:
        """Which of our cookies the application writes itself, and whether it deletes them."""
        now = self._shell.issuer.clock()
        own: dict[bytes, bool] = {}
        for name, value in headers:
            if name.lower() == b"set-cookie":
                cookie, deletes = read_set_cookie(value, now=now)
                if cookie in self._shell.names:
                    own[cookie] = deletes
        return own

    async def _due(self, status: int, headers: Headers, own: dict[bytes, bool]) -> Cookies:
        auth = self._auth
        intent = auth._intent
        if isinstance(intent, Login | Elevate) and status >= 400:
            intent = auth._intent = None
        if intent is None and self._cookies is None and any(own.values()):
            intent = auth._intent = Logout()  # deleting one is how applications log out
        if intent is not None:
            await self.commit()
        if not self._takes_headers():
            return []
        if self._cookies is not None:
            return self._cookies
        if self.look is not None:
            return await self._refreshed(self.look, headers, own)
        return self._shell.deletions(self.dead)

    def _takes_headers(self) -> bool:
        """Return whether the server knows headers on websocket.accept: ASGI 2.1 and newer."""
        version = str(self._scope.get("asgi", {}).get("spec_version", "2.0"))
        return self._scope["type"] == "http" or version not in ("2.0", "1.0")

    async def _refreshed(self, look: Look, headers: Headers, own: dict[bytes, bool]) -> Cookies:
        if is_shared_cacheable(headers):
            return []  # the next response will do
        mode = self._shell.issuer.mode
        try:
            # granian and daphne drop the headers of websocket.accept, and a refresh token that the
            # application writes itself would get lost the same way: nothing rotates then.
            if self._scope["type"] == "websocket" or self._shell.refresh.key in own:
                if await mode.still_good(look):
                    return self._shell.access_cookie(look.session, look.minted)
                return []
            grant = await mode.settle(look, client=self.client)
        except StoreUnavailable:
            return []
        return [] if grant is None else self._shell.cookies(grant)

    async def _answer(self, send: Send, status: int, text: str, cookies: Cookies) -> None:
        """Answer in place of the application, whose messages are dropped from here on."""
        self._auth._intent = None
        self._auth._state |= REPLACED
        headers = [(b"set-cookie", value) for _, value in cookies]
        if status == 503:
            retry = ceil(self._shell.issuer.mint.timeout)
            headers.append((b"retry-after", b"%d" % retry))
        if self._scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1013 if status == 503 else 1008})
        else:
            await respond(send, status, text, headers)
