"""
The canary of the whole suite: no test makes the library tell anybody a token.

Every event and every error of ours is looked at as it is made, and whatever is logged as it is
logged. A word that looks like a part of a token, its header, its payload or its signature, fails
the test that it was told in. `attacks/test_canary.py` goes deeper in scenarios of its own: reprs,
tracebacks with locals, and the very tokens that are under way.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from asgi_refresh import Event
from asgi_refresh.errors import RefreshError

# A SHA-256 tag has 43 characters. Words of one case are padding that tests make.
_WORD = re.compile(r"[A-Za-z0-9_-]{43,}")
# The id of a key may be its thumbprint, which has as many, and is no secret (RFC 7638).
_KEY = re.compile(r"\bkey '[A-Za-z0-9_-]{43}'")
_KINDS = [re.compile(kind) for kind in ("[A-Z]", "[a-z]", "[0-9]")]


def tokens_in(text: str) -> list[str]:
    """Return the parts of tokens that *text* holds."""
    words = _WORD.findall(_KEY.sub("", text))
    return [word for word in words if all(kind.search(word) for kind in _KINDS)]


class Canary(logging.Handler):
    """
    Listens to everything that is told.

    Attributes:
        heard: What held a part of a token, since somebody last looked.
    """

    def __init__(self) -> None:
        super().__init__(logging.NOTSET)
        self.heard: list[str] = []

    def hear(self, text: str) -> None:
        """Keep *text* if it should not have been told."""
        if tokens_in(text):
            self.heard.append(text)

    def emit(self, record: logging.LogRecord) -> None:
        self.hear(logging.Formatter().format(record))

    def take(self) -> list[str]:
        """Return what was heard, and forget it."""
        heard, self.heard = self.heard, []
        return heard


@contextmanager
def listening() -> Iterator[Canary]:
    """Listen to every event, every error of ours and every log of this process."""
    canary, made, raised = Canary(), Event.__init__, RefreshError.__init__

    def make(self: Event, *args: Any, **kwargs: Any) -> None:
        made(self, *args, **kwargs)
        canary.hear(repr(self))

    def fail(self: RefreshError, *args: object) -> None:
        raised(self, *args)
        canary.hear(repr(args))

    root = logging.getLogger()
    root.addHandler(canary)
    Event.__init__, RefreshError.__init__ = make, fail  # type: ignore[method-assign]
    try:
        yield canary
    finally:
        Event.__init__, RefreshError.__init__ = made, raised  # type: ignore[method-assign]
        root.removeHandler(canary)
