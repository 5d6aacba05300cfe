"""The table of `python -m tests.authx`, and what has to be in it."""

from __future__ import annotations

import pytest

from tests.authx.__main__ import main
from tests.authx.cases import CASES, Case, observe

pytestmark = [
    pytest.mark.anyio,
    # AuthX's own middleware reads a property that pydantic deprecates.
    pytest.mark.filterwarnings("ignore:Accessing the 'model_fields':DeprecationWarning"),
]

# What is done: what comes of it by AuthX alone, and with this library and a store.
# One row is no better there: the CSRF value is compared by AuthX, which takes ASCII only.
OUTCOMES: dict[str, tuple[str, str]] = {
    "60 s left": ("GET 200, renewed; POST 200, renewed", "GET 200, renewed; POST 200, renewed"),
    "access expired, refresh cookie good": ("422, nothing set", "200, renewed"),
    "the same, a POST with its CSRF token": ("422, nothing set", "200, renewed"),
    "access cookie missing, refresh cookie good": (
        "401, nothing set; public route 200, nothing set",
        "200, renewed; public route 200, renewed",
    ),
    "seconds left": (
        "renewed at 598.5, 30 s of 601.5, 598.5, 30",
        "renewed at 598.5, 30 s of 601.5, 598.5, 30",
    ),
    "the handler sees": ("the new token: no", "the new token: yes"),
    "2 s left, the handler takes 2.5 s": (
        "200, nothing set; next request 422, nothing set",
        "200, renewed; next request 200, nothing set",
    ),
    "access lifetime 5 min, refresh at 10 min": (
        "50 new tokens in 50 requests",
        "0 new tokens in 50 requests",
    ),
    "refresh token": (
        "rotated: no; old refresh cookie later 401, nothing set; owner then 422, nothing set",
        "rotated: yes; old refresh cookie later 401, nothing set; owner then 422, nothing set",
    ),
    "20 requests at once": (
        "20 of 20 are 200, 0 new refresh tokens",
        "20 of 20 are 200, 1 new refresh tokens",
    ),
    "logout 5 min before the end": (
        "next request 200, nothing set",
        "next request 401, nothing set",
    ),
    "logout, and somebody has a copy": (
        "a copy of the cookies 200, nothing set; an hour later 422, nothing set",
        "a copy of the cookies 401, nothing set; an hour later 422, nothing set",
    ),
    "a blocklisted access cookie alone, 60 s left": (
        "401, renewed; next request 200, nothing set",
        "401, nothing set; next request 401, nothing set",
    ),
    "access and refresh cookie blocklisted, 60 s left": (
        "401, renewed; next request 200, nothing set",
        "401, nothing set; next request 401, nothing set",
    ),
    "alice's last minute, login as bob": ("next request is alice's", "next request is bob's"),
    "refresh lifetime 2 h, no refresh cookie": (
        "a stolen access cookie after 5 hours 200, renewed",
        "a stolen access cookie after 5 hours 422, nothing set",
    ),
    "POST with a wrong CSRF token": (
        "401, renewed; without it 401, nothing set",
        "401, nothing set; without it 401, nothing set",
    ),
    "a response for shared caches": (
        "200, renewed, Cache-Control: public, max-age=3600",
        "200, nothing set, Cache-Control: public, max-age=3600",
    ),
    "refusals and redirects": ("renewed with 404, 405, 418, OPTIONS, 307", "renewed with 307"),
    "a deleted user": ("200, renewed, subject None", "401, nothing set, subject none"),
    "logout with __Host- cookies": (
        "next request 200, an hour later 422",
        "next request 401, an hour later 422",
    ),
    "bob's header, alice's cookies": (
        "acts as bob; alice's cookies 200, renewed",
        "acts as bob; alice's cookies 200, nothing set",
    ),
    "role, tenant, scopes, aud": (
        "lost: aud, role, scopes, tenant; scoped route 200, then 422",
        "lost: none; scoped route 200, then 200",
    ),
    "a fresh token, 60 s left, twice": ("200, then 401", "200, then 200"),
    "CSRF token read before a refresh": ("401, nothing set", "200, nothing set"),
    "signed by the previous key": (
        "200, renewed, by the new key: yes",
        "200, renewed, by the new key: yes",
    ),
    "the lists": (
        "METHOD_INCLUDE=['GET'] renews GET: no, POST: yes",
        "METHOD_INCLUDE=['GET'] renews GET: yes, POST: no",
    ),
    "JWT_ACCESS_TOKEN_EXPIRES=None": ("public route 500 TypeError", "public route 200, renewed"),
    "a signed token without exp": ("public route 500 TypeError", "public route 200, nothing set"),
    "X-CSRF-TOKEN: é": (
        "500 TypeError; public route 200, nothing set",
        "500 TypeError; public route 200, nothing set",
    ),
    "WebSocket by cookie": (
        "near the end accept, nothing; expired close, nothing",
        "near the end accept, renewed; expired accept, renewed",
    ),
    "a stream with trailers": ("trailers arrive: no", "trailers arrive: yes"),
    "context variables": ("seen outside: no", "seen outside: yes"),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.name} {case.about}")
async def test_each_fact_is_as_the_table_says(case: Case) -> None:
    alone, ours = OUTCOMES[case.about]

    assert await observe(case, "authx") == alone
    assert await observe(case, "stored") == ours


def test_every_case_has_its_outcome() -> None:
    assert set(OUTCOMES) == {case.about for case in CASES}
    assert len(OUTCOMES) == len(CASES)


def test_the_table_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first = CASES[1]
    monkeypatch.setattr("sys.argv", ["tests.authx"])
    monkeypatch.setattr("tests.authx.__main__.CASES", (first,))

    main()

    row = " | ".join([first.name, first.about, *OUTCOMES[first.about]])
    assert f"| {row} |" in capsys.readouterr().out.splitlines()
