"""
The short way out for what is plainly nobody's.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from starlette.types import Receive

from .auth import Auth
from .credentials import client_of, request_headers
from .errors import Reason
from .events import Event
from .intents import anonymous
from .shell import Shell


class TurnedAway:
    """
    A request that brings nothing of ours but one access token that is none.

    It is known to be so: a second look would make it twice as dear. The cookie is in here and in
    no frame by the time that a hook is told, for what a hook raises is reported with its frames.
    """

    __slots__ = ("_cookie", "_reason", "_scope", "_shell", "receive")

    def __init__(
        self,
        shell: Shell[Any],
        scope: MutableMapping[str, Any],
        receive: Receive,
        cookie: bytes,
        reason: Reason,
    ) -> None:
        self._shell, self._scope, self.receive = shell, scope, receive
        self._cookie, self._reason = cookie, reason

    async def authenticate(self) -> Auth:
        """Return that it is nobody."""
        client = client_of(self._scope, request_headers(self._scope))
        self._shell.issuer.emit(Event("rejected", reason=self._reason, client=client))
        return self._shell.auth(self._scope, None, anonymous(self._reason), self._cookie)
