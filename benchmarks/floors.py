"""The floors: what verifying a token, and making a new one from it, cannot do without."""

from __future__ import annotations

import base64
import hmac
import json
import os
import time
from typing import Any

from benchmarks.browser import CLAIMS, SECRET
from benchmarks.harness import Variant

KEY = SECRET.encode()
_HEAD = b'{"alg":"HS256","kid":"k1234567","typ":"at+jwt"}'


def floors() -> dict[str, Variant]:
    """Return the two floors, on a token with as many claims as ours has."""
    head = base64.urlsafe_b64encode(_HEAD).rstrip(b"=")
    now = int(time.time())
    payload = {**CLAIMS, "sub": "alice", "sid": os.urandom(16).hex(), "jti": os.urandom(16).hex()}
    payload |= {"iat": now, "exp": now + 600, "auth_time": now, "gen": 1}
    token = _sign(head, payload)

    def refresh(refresh_token: bytes) -> bytes:
        claims = _verify(refresh_token)
        return _sign(head, {**claims, "jti": os.urandom(16).hex(), "iat": int(time.time())})

    return {
        "verify floor": Variant(lambda: bytes(bytearray(token)), plain=_verify),
        "refresh floor": Variant(lambda: bytes(bytearray(token)), plain=refresh),
    }


def _unpadded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _verify(token: bytes) -> Any:
    """One HMAC, one base64 of each part, one JSON."""
    signing_input, _, signature = token.rpartition(b".")
    digest = hmac.digest(KEY, signing_input, "sha256")
    assert hmac.compare_digest(digest, _unpadded(signature))
    return json.loads(_unpadded(signing_input.partition(b".")[2]))


def _sign(head: bytes, payload: dict[str, Any]) -> bytes:
    body = base64.urlsafe_b64encode(json.dumps(payload).encode()).rstrip(b"=")
    signing_input = head + b"." + body
    digest = hmac.digest(KEY, signing_input, "sha256")
    return signing_input + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")
