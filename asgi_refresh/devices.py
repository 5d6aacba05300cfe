"""
A label for a list of sessions, from what a browser says of itself (RFC 9110, 10.1.5).
"""

from __future__ import annotations

from typing import Final

# The first that is found counts: nearly every browser claims to be several older ones too.
_BROWSERS: Final = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chromium/", "Chromium"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)
_LONGEST: Final = 60


def device_label(user_agent: str | None) -> str | None:
    """
    Return a few words for *user_agent*, such as "Firefox on Windows"; None where it says nothing.

    It is what the client claims, and never more than a hint to the user whose list it is. Of a
    client that is no browser it is the first word: "curl/8.5.0".
    """
    if not user_agent:
        return None
    browser = _first(_BROWSERS, user_agent)
    system = _first(_SYSTEMS, user_agent)
    if browser is not None and system is not None:
        return f"{browser} on {system}"
    words = user_agent.split()
    if browser is not None or system is not None or not words:
        return browser or system
    word = words[0]
    return word[:_LONGEST] if word.isprintable() else None


def _first(names: tuple[tuple[str, str], ...], user_agent: str) -> str | None:
    return next((label for mark, label in names if mark in user_agent), None)
