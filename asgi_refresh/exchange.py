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
from .caching import Headers, forbid_caching, is_merged, is_shared_cacheable, is_silent, vary_on
from .credentials import Credentials, client_of, read_cookies, request_headers
from .errors import AccessDeniedError, ClaimsUnavailable, InvalidTokenError, StoreUnavailable
from .events import Client, Event
from .grants import Grant, Look
from .intents import PENDING, READ, REPLACED, STARTED, Intent
from .own import Own, ousted
from .passdown import sessions_in
from .sessions import Session
from .shell import Cookies, Shell, refusal, respond, takes_headers


class Exchange:
    """
    One request that has something to write.

    Attributes:
        look: A refresh that is to be settled.
        dead: Cookies of an ended session, to be deleted.
    """

    look: Look | None = None
    dead: frozenset[bytes] = frozenset()
    _client: Client | None = None
    _cookies: Cookies | None = None
    _legacy_ended: frozenset[str] = frozenset()
    _signed_out = False

    def __init__(self, shell: Shell[Exchange], auth: Auth) -> None:
        assert auth._scope is not None  # noqa: S101 - the request is still open
        self._shell, self._auth, self._scope = shell, auth, auth._scope

    @property
    def client(self) -> Client:
        """Who is at the other end."""
        if self._client is None:
            self._client = client_of(self._scope, request_headers(self._scope))
        return self._client

    # --- the intents ----------------------------------------------------------------------------

    async def commit(self) -> None:
        """Do what the handler recorded; an error leaves it recorded."""
        intent = self._auth._intent
        if intent is None:
            return
        if intent.login is not None:
            await self._login(intent, intent.login)
        elif intent.elevate and intent.session_id is not None:
            await self._elevate(intent.session_id, intent)
        elif intent.logout:
            await self._logout(intent)
        self._auth._intent = None

    async def _login(self, intent: Intent, session: Session) -> None:
        shell, client, origin = self._shell, self.client, self._auth._foreign
        if origin is not None and not intent.by_bearer:
            text = refusal(origin)
            shell.issuer.emit(Event("cross_origin", reason="login", detail=text, client=client))
            raise AccessDeniedError(text)
        if intent.logout:
            await self._end_everywhere(intent, client)
        grant = await shell.issuer.mode.begin(session, client=client)
        came = self._came()
        stays = intent.by_bearer and not intent.logout
        sessions = came.sessions if stays else self._sessions(intent)
        for session_id, lasts in sessions.items():
            with contextlib.suppress(StoreUnavailable):  # told by an event; the login stands
                await self._end(session_id, intent, "login", lasts)
        shell.warn_insecure(self._scope, request_headers(self._scope).get(b"host"))
        with contextlib.suppress(StoreUnavailable, ClaimsUnavailable):
            await self._end_legacy(came, "login", client)
        self._hand_out(grant, self._ended(came))

    async def _elevate(self, session_id: str, intent: Intent) -> None:
        rotating = self._shell.issuer.rotating
        assert rotating is not None  # noqa: S101 - Auth.elevate asked
        try:
            grant = await rotating.barrier(session_id, intent.claims, step_up=True)
        except InvalidTokenError:
            raise AccessDeniedError("the session ended while its privileges changed") from None
        self._hand_out(grant, [])

    async def _logout(self, intent: Intent) -> None:
        # What another site sends without our cookies must not empty the browser, either.
        client, self._signed_out = self.client, self._auth._foreign is None
        await self._end_everywhere(intent, client)
        failure: StoreUnavailable | None = None
        ended = sessions_in(self._shell, request_headers(self._scope)) | self._sessions(intent)
        for session_id, lasts in ended.items():
            try:
                await self._end(session_id, intent, "logout", lasts)
            except StoreUnavailable as error:
                failure = error  # the others end all the same
        if failure is not None:
            raise failure
        await self._end_legacy(self._came(), "logout", client)
        self._cookies = self._farewell()

    async def _end_legacy(self, came: Credentials, reason: str, client: Client) -> None:
        """End the sessions that tokens of an earlier system would begin, or have begun."""
        issuer = self._shell.issuer
        for raw in came.legacy:
            with contextlib.suppress(InvalidTokenError):
                token = await issuer.legacy.read(raw)
                self._legacy_ended |= {token.session_id}
                await issuer.mode.end_kept(token.session_id, reason=reason, client=client)

    async def _end_everywhere(self, intent: Intent, client: Client) -> None:
        rotating = self._shell.issuer.rotating
        if intent.everywhere and intent.subject is not None and rotating is not None:
            await rotating.end_subject(intent.subject, client=client)

    async def _end(self, session_id: str, intent: Intent, reason: str, lasts: float) -> None:
        issuer, mode, client = self._shell.issuer, self._shell.issuer.mode, self.client
        # Without a denylist nothing tells that it has been ended before.
        told = issuer.rotating is None or issuer.denylist is not None
        if session_id == intent.session_id and told:
            subject = intent.subject
            await mode.end(session_id, subject=subject, reason=reason, client=client, lasts=lasts)
        else:
            # By a token that signs nobody in: an old one, sent over and over, must write nothing.
            await mode.end_kept(session_id, reason=reason, client=client, lasts=lasts)

    def _hand_out(self, grant: Grant, also: Cookies) -> None:
        self._auth._token = grant.minted.token
        self._cookies = self._shell.cookies(grant) + also

    def _farewell(self) -> Cookies:
        if self._auth._foreign is not None:
            return []  # another site's request brought no cookie, and must not delete any
        return self._shell.deletions(self._shell.names) + self._ended(self._came())

    def _ended(self, came: Credentials) -> Cookies:
        """What keeps the sessions that the request *came* with from coming back."""
        burial = self._shell.burial(came, self._legacy_ended)
        return burial + self._shell.legacy_deletions(came)

    def _came(self) -> Credentials:
        """What our cookies hold; however long they are, for it is to be ended."""
        shell = self._shell
        return read_cookies(shell.issuer, self._auth._cookie, shell.tombstone, capped=False)

    def _sessions(self, intent: Intent) -> dict[str, float]:
        """Every session that the request can be said to be of, and when its access token ends."""
        ours = {} if intent.session_id is None else {intent.session_id: intent.lasts}
        return ours | self._came().sessions

    async def finish(self) -> None:
        """The application is done: a logout that no response has carried is still one."""
        auth, intent = self._auth, self._auth._intent
        auth._exchange = None
        auth._intent = None if intent is None else intent.without_promises()
        if auth._intent is None:
            return
        # Every call of the store is bounded, so this is.
        away = contextlib.suppress(StoreUnavailable, ClaimsUnavailable)
        with away, anyio.CancelScope(shield=True):
            await self.commit()

    # --- the response ---------------------------------------------------------------------------

    async def start(self, message: Message, send: Send) -> None:
        """Send the start of the response, with the cookies that are due by now."""
        auth, status = self._auth, message.get("status", 200)  # websocket.accept has none
        if status < 200:
            await send(message)  # an interim response; nothing is settled before the final one
            return
        auth._state |= STARTED
        try:
            ready = [await self._prepared(message, status)]
        except AccessDeniedError as error:
            await self._answer(send, 403, str(error), [])
        except (StoreUnavailable, ClaimsUnavailable):
            failed_logout = auth._intent is not None and auth._intent.logout
            cookies = self._farewell() if failed_logout else []
            await self._answer(send, 503, "The session store is not available.", cookies)
        else:
            auth._state &= ~PENDING  # all is done: no `finish`
            # Nor a circle for the collector: the two made a sixth of a stateless refresh.
            auth._exchange = None
            # Taken out of the frame: reports of a send that fails show what stands in one.
            await send(ready.pop())

    async def _prepared(self, message: Message, status: int) -> Message:
        headers: Headers = [(name, value) for name, value in message.get("headers") or ()]
        # One look at most responses, in the place of six: 5 % of a stateless refresh.
        silent = is_silent(headers)
        spoken: Headers = [] if silent else headers
        own = Own(spoken, self._shell.goes_with, now=self._shell.issuer.clock())
        cookies = own.leaves(await self._due(status, spoken, own))
        if cookies or own:
            merged = is_merged(self._scope.get("method"), status)
            headers = forbid_caching(headers, merged=merged, silent=silent)
            headers += [(b"set-cookie", value) for _, value in cookies]
        if self._signed_out:
            headers += self._shell.clearing
        if self._scope["type"] == "http" and (cookies or own or self._auth._state & READ):
            headers = vary_on(headers, self._shell.varies_on, silent=silent)
        return {**message, "headers": headers} if headers else message

    async def _due(self, status: int, headers: Headers, own: Own) -> Cookies:
        auth, shell = self._auth, self._shell
        if status >= 400 and auth._intent is not None:
            auth._intent = auth._intent.without_promises()
        if own and auth._intent is None and self._cookies is None:
            if own.deletes(shell.names):
                auth._intend(logout=True)  # that is how applications log out
            elif status < 400:
                await self._end_ousted(own)
        if auth._intent is not None:
            await self.commit()
        if not takes_headers(self._scope):
            return []
        if self._cookies is not None:
            return self._cookies
        if shell.guards and (self.look is not None or own.sets(shell.access.key) is not None):
            await self._give_up()
        if self.look is not None:
            if status >= 400 and not shell.issuer.profile.refreshes_on_error:
                return []
            return await self._refreshed(self.look, headers, own)
        return shell.deletions(self.dead)

    async def _end_ousted(self, own: Own) -> None:
        """The application signs in somebody else by a cookie of its own: who it was is out."""
        shell, came = self._shell, self._came()
        others = await ousted(shell.issuer, own.token(shell.issuer), came.genuine)
        came = came._replace(genuine=others)
        for session_id, lasts in came.sessions.items():
            with contextlib.suppress(StoreUnavailable):  # told by an event
                mode, client = shell.issuer.mode, self.client
                await mode.end(session_id, reason="login", client=client, lasts=lasts)
        if others:
            # Or they would be back as soon as the cookie is over.
            self._cookies = shell.deletions(set(map(shell.name_of, others))) + shell.burial(came)

    async def _give_up(self) -> None:
        """Let access tokens of no session, which another takes the place of, end with this one."""
        came, rotating = self._came(), self._shell.issuer.rotating
        if rotating is not None and came.refresh is not None:
            with contextlib.suppress(StoreUnavailable):
                await rotating.give_up(came.refresh, came.genuine)

    async def _refreshed(self, look: Look, headers: Headers, own: Own) -> Cookies:
        if headers and is_shared_cacheable(headers):
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
        except (StoreUnavailable, ClaimsUnavailable):
            return []
        if grant is None:
            return []
        cookies = self._shell.cookies(grant)
        if self._shell.issuer.legacy.cookies:
            cookies += self._shell.legacy_deletions(self._came())
        return cookies

    async def _answer(self, send: Send, status: int, text: str, cookies: Cookies) -> None:
        """Answer in place of the application, whose messages are dropped from here on."""
        intent = self._auth._intent
        # A logout that came before a login that is not granted is left for `finish`.
        self._auth._intent = intent.without_promises() if intent and intent.login else None
        self._auth._state |= REPLACED
        headers = vary_on([(b"set-cookie", value) for _, value in cookies], self._shell.varies_on)
        headers += self._shell.clearing if self._signed_out else []
        if status == 503:
            retry = ceil(self._shell.issuer.mint.timeout)
            headers.append((b"retry-after", b"%d" % retry))
        if self._scope["type"] == "websocket":
            # A handshake can but sign out, which nobody is denied.
            await send({"type": "websocket.close", "code": 1013})
        else:
            await respond(send, status, text, headers)
