"""The label that a list of sessions shows, from what clients say of themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_refresh.claims import is_identifier
from asgi_refresh.devices import device_label

MOZILLA = "Mozilla/5.0 "
WEBKIT = "AppleWebKit/537.36 (KHTML, like Gecko) "


@pytest.mark.parametrize(
    ("user_agent", "label"),
    [
        (
            f"{MOZILLA}(X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Firefox on Linux",
        ),
        (
            f"{MOZILLA}(Windows NT 10.0; Win64; x64) {WEBKIT}Chrome/140.0.0.0 Safari/537.36",
            "Chrome on Windows",
        ),
        (
            f"{MOZILLA}(Windows NT 10.0) {WEBKIT}Chrome/140.0 Safari/537.36 Edg/140.0",
            "Edge on Windows",
        ),
        (
            f"{MOZILLA}(Macintosh; Intel Mac OS X 10_15_7) {WEBKIT}Version/18.0 Safari/605.1.15",
            "Safari on macOS",
        ),
        (
            f"{MOZILLA}(iPhone; CPU iPhone OS 18_0 like Mac OS X) {WEBKIT}CriOS/140 Safari/604.1",
            "Chrome on iPhone",
        ),
        (
            f"{MOZILLA}(Linux; Android 10; K) {WEBKIT}SamsungBrowser/28.0 Chrome/130 Safari/537.36",
            "Samsung Internet on Android",
        ),
        (f"{MOZILLA}(X11; CrOS x86_64) {WEBKIT}Chrome/140 Safari/537", "Chrome on ChromeOS"),
        (f"{MOZILLA}(Windows NT 10.0) {WEBKIT}Chrome/140 Safari/537 OPR/120", "Opera on Windows"),
        ("curl/8.5.0", "curl/8.5.0"),
        ("python-httpx/0.28 (Linux)", "Linux"),
        ("Acme\u00a0App", "Acme"),
        ("", None),
        ("   ", None),
        ("\x00\x01", None),
        (None, None),
    ],
)
def test_a_label_names_browser_and_system(user_agent: str | None, label: str | None) -> None:
    assert device_label(user_agent) == label


@given(st.text(max_size=300))
def test_whatever_a_client_says_the_label_can_be_kept(user_agent: str) -> None:
    label = device_label(user_agent)

    assert label is None or is_identifier(label)
