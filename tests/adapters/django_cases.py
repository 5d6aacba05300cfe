"""
What `UserMiddleware` does in a Django with users and sessions of its own.

Django is set up once in a process: `test_django.py` has pytest run this file in one of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import django
import pytest
from django.conf import settings

settings.configure(
    ROOT_URLCONF=__name__,
    SECRET_KEY="x" * 50,
    ALLOWED_HOSTS=["*"],
    INSTALLED_APPS=[
        "django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions",
    ],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "asgi_refresh.compat.django.UserMiddleware",
    ],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}},
)  # fmt: skip
django.setup()

from django.contrib.auth.decorators import login_required, permission_required  # noqa: E402
from django.contrib.auth.models import Permission, User  # noqa: E402
from django.core.asgi import get_asgi_application  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection, connections  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client, RequestFactory  # noqa: E402
from django.test.utils import CaptureQueriesContext, override_settings  # noqa: E402
from django.urls import path  # noqa: E402

from asgi_refresh import Auth, Issuer, MemoryStore, RefreshMiddleware  # noqa: E402
from asgi_refresh.compat.django import UserMiddleware  # noqa: E402
from asgi_refresh.testing import Browser, expire_access, sign_in  # noqa: E402


def who(request: Any) -> HttpResponse:
    return HttpResponse(request.user.get_username() or "nobody")


async def awho(request: Any) -> HttpResponse:
    user = await request.auser()
    assert await request.auser() is user
    return HttpResponse(user.get_username() or "nobody")


@login_required
def members(request: Any) -> HttpResponse:
    return HttpResponse(f"hello {request.user.first_name}")


@permission_required("auth.add_user", raise_exception=True)
def staff(request: Any) -> HttpResponse:
    return HttpResponse("welcome")


def login(request: Any) -> HttpResponse:
    Auth.of(request).login(str(User.objects.get(username="alice").pk))
    return who(request)


def unasked(request: Any) -> HttpResponse:
    return HttpResponse("anybody")


urlpatterns = [
    path("who", who), path("awho", awho), path("members", members), path("staff", staff),
    path("login", login), path("unasked", unasked),
]  # fmt: skip
app = RefreshMiddleware(
    get_asgi_application(), Issuer("x" * 40, store=MemoryStore()), starlette=False
)


@pytest.fixture(scope="session")
def _tables() -> None:
    call_command("migrate", verbosity=0)


@pytest.fixture
def alice(_tables: None) -> Iterator[User]:
    yield User.objects.create_user("alice", first_name="Alice", password="wonderland")
    User.objects.all().delete()
    connections.close_all()


@pytest.fixture
def browser() -> Browser:
    return Browser(app)


WAYS = pytest.mark.parametrize("way", ["/who", "/awho"], ids=["sync", "async"])


@WAYS
def test_the_user_is_the_one_of_the_session(browser: Browser, alice: User, way: str) -> None:
    sign_in(browser, str(alice.pk))

    assert browser.get(way).text == "alice"


@WAYS
def test_the_user_stays_when_the_access_token_ends(browser: Browser, alice: User, way: str) -> None:
    sign_in(browser, str(alice.pk))
    expire_access(browser)

    assert browser.get(way).text == "alice"


@WAYS
@pytest.mark.parametrize("subject", ["0", "alice", "1.5", "9" * 200])
def test_a_subject_that_is_no_users_key_is_nobody(
    browser: Browser, alice: User, way: str, subject: str
) -> None:
    sign_in(browser, subject)

    assert browser.get(way).text == "nobody"


@WAYS
def test_who_is_not_active_any_more_is_nobody(browser: Browser, alice: User, way: str) -> None:
    sign_in(browser, str(alice.pk))
    User.objects.update(is_active=False)

    assert browser.get(way).text == "nobody"


@WAYS
def test_without_a_session_the_user_is_nobody(browser: Browser, alice: User, way: str) -> None:
    assert browser.get(way).text == "nobody"


def test_the_user_of_a_login_is_seen_at_once(browser: Browser, alice: User) -> None:
    assert browser.post("/login").text == "alice"
    assert browser.get("/who").text == "alice"


def test_djangos_decorators_go_by_it(browser: Browser, alice: User) -> None:
    assert browser.get("/members").status_code == 302
    sign_in(browser, str(alice.pk))

    assert browser.get("/members").text == "hello Alice"
    assert browser.get("/staff").status_code == 403
    alice.user_permissions.add(Permission.objects.get(codename="add_user"))
    assert browser.get("/staff").text == "welcome"


def test_who_does_not_ask_pays_nothing(browser: Browser, alice: User) -> None:
    sign_in(browser, str(alice.pk))

    assert "vary" not in browser.get("/unasked").headers


@WAYS
def test_a_session_of_djangos_own_goes_on_beside_it(alice: User, way: str) -> None:
    client = Client()
    client.force_login(alice)
    browser = Browser(app)
    theirs = {"cookie": f"sessionid={client.cookies['sessionid'].value}"}

    assert browser.get(way, headers=theirs).text == "alice"
    sign_in(browser, str(User.objects.create_user("bob").pk))
    ours = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    assert browser.get(way, headers={"cookie": f"{ours}; {theirs['cookie']}"}).text == "bob"


@WAYS
@pytest.mark.parametrize("subject", ["0", "nobody"])
def test_a_session_of_nobody_is_not_that_of_djangos_own(
    alice: User, way: str, subject: str
) -> None:
    client = Client()
    client.force_login(alice)
    browser = Browser(app)
    sign_in(browser, subject)
    both = {**browser.cookies, "sessionid": client.cookies["sessionid"].value}
    cookie = "; ".join(f"{name}={value}" for name, value in both.items())

    assert browser.get(way, headers={"cookie": cookie}).text == "nobody"


def test_djangos_test_client_goes_by_djangos_own(alice: User) -> None:
    client = Client()  # WSGI: there is no scope
    assert client.get("/who").content == b"nobody"
    client.force_login(alice)
    assert client.get("/who").content == b"alice"


@override_settings(MIDDLEWARE=["asgi_refresh.compat.django.UserMiddleware"])
@WAYS
def test_djangos_own_sessions_are_not_needed(alice: User, way: str) -> None:
    browser = Browser(RefreshMiddleware(get_asgi_application(), Issuer("x" * 40, store=None)))
    assert browser.get(way).text == "nobody"
    sign_in(browser, str(alice.pk))
    assert browser.get(way).text == "alice"


def test_the_user_is_looked_up_once(alice: User) -> None:
    request = RequestFactory().get("/")
    browser = Browser(RefreshMiddleware(_keeping(request), Issuer("x" * 40, store=None)))
    sign_in(browser, str(alice.pk))
    browser.get("/")
    with CaptureQueriesContext(connection) as queries:
        assert request.user == alice
        assert request.user.is_authenticated
    assert len(queries) == 1


def _keeping(request: Any) -> Any:
    async def keep(scope: Any, receive: Any, send: Any) -> None:
        request.scope = scope
        UserMiddleware(lambda request: None)(request)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})

    return keep
