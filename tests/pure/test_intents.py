"""What a handler has recorded, and what of it an error lets stand."""

from __future__ import annotations

from asgi_refresh.intents import Intent
from tests.support import Clock, new_session


def test_of_a_login_and_of_a_change_of_privileges_nothing_stands(clock: Clock) -> None:
    assert Intent(login=new_session(clock)).without_promises() is None
    assert Intent(session_id="s1", elevate=True).without_promises() is None
    assert Intent().without_promises() is None


def test_of_a_logout_and_a_login_the_logout_does(clock: Clock) -> None:
    logout = Intent("s1", "alice", 7.0, True, logout=True, everywhere=True)
    both = Intent("s1", "alice", 7.0, True, new_session(clock), logout=True, everywhere=True)

    assert both.without_promises() == logout.without_promises() == logout
