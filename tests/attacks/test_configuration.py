"""AB-51 and AB-52: what would be emitted wrongly is refused before it is emitted (Emission)."""

from __future__ import annotations

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest

from asgi_refresh import Config, Cookie, Issuer, Key, MemoryStore
from asgi_refresh.errors import ConfigurationError, InvalidTokenError
from tests.blackbox.helpers import ACCESS, REFRESH, doing, make_site
from tests.hostile.tools import b64
from tests.support import SECRET, Clock, make_issuer

pytestmark = pytest.mark.anyio

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("access", {"same_site": "none", "secure": False}),
        ("access", {"partitioned": True, "secure": False}),
        ("access", {"same_site": "Lax"}),
        ("access", {"same_site": ""}),
        ("__Host-access", {"domain": "app.example"}),
        ("__Host-access", {"path": "/app"}),
        ("__Host-access", {"secure": False}),
        ("__hOST-access", {"domain": "app.example"}),
        ("__Secure-access", {"secure": False}),
        ("__SECURE-access", {"secure": False}),
        ("__Http-access", {"secure": False}),
        ("__Host-Http-access", {"secure": False}),
        ("__Host-Http-access", {"path": "/app"}),
        ("__Host-Http-access", {"domain": "app.example"}),
    ],
)
def test_AB_51_attributes_that_a_browser_refuses_are_refused(
    name: str, attributes: dict[str, Any]
) -> None:
    with pytest.raises(ConfigurationError):
        Cookie(name, **attributes)


@pytest.mark.parametrize("name", ["__Http-access", "__Host-Http-access", "__Host-access", "access"])
@pytest.mark.parametrize("field", ["access_cookie", "refresh_cookie"])
def test_AB_51_a_cookie_without_httponly_cannot_be_configured(name: str, field: str) -> None:
    """HttpOnly is a choice for the double-submit token alone."""
    for line in (Cookie(name).render(b"x", 60), Cookie(name).delete()):
        assert b"; HttpOnly; " in line
    with pytest.raises(ConfigurationError):
        Config(**{field: Cookie(name, http_only=False)})


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "a;b",
        "a=b",
        "a,b",
        "a\r\nSet-Cookie: x",
        "a\n",
        "a\t",
        "a\x00",
        "a\x7f",
        '"a"',
        "ä",
        "a\u2028",
        "a/b",
        "a@b",
        "(a)",
        "[a]",
        "a" * 5000,
    ],
)
def test_AB_51_a_name_that_is_no_token_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        Cookie(name)


@pytest.mark.parametrize("bad", ["{}\r\nX: y", "{};x", "{}\n", "{}\x00", "{}\x7f", "{}\u00e4"])
@pytest.mark.parametrize(("attribute", "good"), [("path", "/a"), ("domain", "a.example")])
def test_AB_51_a_path_or_domain_that_breaks_the_line_is_refused(
    attribute: str, good: str, bad: str
) -> None:
    Cookie("access", **{attribute: good})  # type: ignore[arg-type]

    with pytest.raises(ConfigurationError):
        Cookie("access", **{attribute: bad.format(good)})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "settings",
    [
        {"session_lifetime": 401 * DAY},
        {"idle_lifetime": 100 * DAY},
        {"access_lifetime": 14 * DAY},
        {"access_lifetime": 91 * DAY, "idle_lifetime": 90 * DAY},
        {"leeway": timedelta(seconds=61)},
        {"leeway": timedelta(seconds=-1)},
        {"rotation_grace": timedelta(seconds=301)},
        {"refresh_cookie": Cookie("__Host-access")},
        {"refresh_cookie": Cookie("refresh", path="/auth/refresh")},
        {"access_cookie": Cookie("access", path="/"), "refresh_cookie": Cookie("r", path="/api")},
        {"access_cookie": Cookie("access", domain="app.example")},
    ],
    ids=str,
)
def test_AB_51_settings_that_do_not_go_together_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Config(**settings)


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_51_one_secret_for_both_kinds_of_token_signs_neither_as_it_is(
    clock: Clock, stored: bool
) -> None:
    """
    "Same key for access and refresh raw" is no error but impossible: every key is derived from the
    secret, separated by purpose (DESIGN, 5).
    """
    issuer = make_issuer(clock, store=MemoryStore() if stored else None)
    tokens = await issuer.issue("alice")

    def signed(text: str) -> str:
        message = text.rpartition(".")[0]
        tag = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest()
        return f"{message}.{b64(tag)}"

    with pytest.raises(InvalidTokenError):
        issuer.verify(signed(tokens.access_token))
    with pytest.raises(InvalidTokenError):
        await issuer.refresh(signed(tokens.refresh_token))


async def test_AB_51_a_shared_key_that_is_the_secret_too_signs_no_refresh_token(
    clock: Clock,
) -> None:
    issuer = make_issuer(clock, store=MemoryStore())
    shared = Issuer(Key(SECRET, "k"), secret=SECRET, store=MemoryStore(), clock=clock)
    message = (await shared.issue("alice")).refresh_token.rpartition(".")[0]
    tag = hmac.new(SECRET.encode(), message.encode(), hashlib.sha256).digest()

    for each in (issuer, shared):
        with pytest.raises(InvalidTokenError):
            await each.refresh(f"{message}.{b64(tag)}")


def test_AB_51_a_shared_key_without_a_secret_for_refresh_tokens_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="secret"):
        Issuer(Key(SECRET, "k"), store=None)


@pytest.mark.parametrize("bad", ["alice\r\nSet-Cookie: x=y", "a\nb", "a\x00b", "\x1b[31m", "a\x7f"])
@pytest.mark.parametrize("stored", [True, False])
async def test_AB_52_a_subject_that_breaks_lines_signs_nobody_in(
    clock: Clock, stored: bool, bad: str
) -> None:
    """Refused at login rather than encoded: a subject without controls (DESIGN, 3)."""
    site = make_site(clock, stored=stored)
    seen: list[str] = []

    def log_in(auth: Any) -> None:
        for device in (None, bad):
            with pytest.raises(ValueError, match="controls"):
                auth.login("alice" if device else bad, device=device)
            seen.append("refused")

    site = make_site(clock, doing(log_in), stored=stored)
    response = await site.browser.post("/")

    assert (response.status, response.set_cookies, len(seen)) == (200, [], 2)


@pytest.mark.parametrize("stored", [True, False])
async def test_AB_52_claims_that_break_lines_leave_the_header_one_line(
    clock: Clock, stored: bool
) -> None:
    hostile = {"name": 'a\r\nSet-Cookie: evil=1; Path=/\x00\x1b[31m;," \\', "\r\n;": ["\r\n"]}
    site = make_site(clock, doing(lambda auth: auth.login("a;b, c\u2028", hostile)), stored=stored)

    response = await site.browser.post("/")

    assert set(response.cookies) == {ACCESS, REFRESH}
    for name, value in response.headers:
        assert not {10, 13, 0} & {*name, *value}
    for value in response.cookies.values():
        assert value.isascii()
        assert not set(value) & set(' ,;"\\\r\n\x00\x1b')
    answer = await site.browser.get("/")
    assert site.issuer.verify(response.cookies[ACCESS])["name"] == hostile["name"]
    assert answer.status == 200
