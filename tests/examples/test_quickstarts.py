"""Every quickstart of examples/ does the same: sign in, stay signed in, sign out."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.examples.support import (
    EXAMPLES,
    SECRET_KEY,
    close,
    environment,
    free_port,
    load,
    patient,
    serve,
)
from tests.support import Browser, Clock, Response, require

pytestmark = pytest.mark.anyio

QUICKSTARTS = [
    "bare_asgi", "django_app", "fastapi_app", "litestar_app", "quart_app", "starlette_app",
]  # fmt: skip
RIGHT = {"password": "wonderland"}


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"  # Django, Quart and Litestar have no other


@pytest.fixture(params=QUICKSTARTS)
def browser(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    clock: Clock,
) -> Iterator[Browser]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_KEY", SECRET_KEY)
    with unconfigured_django() if request.param == "django_app" else contextlib.nullcontext():
        module = load(EXAMPLES / f"{request.param}.py")
        yield Browser(patient(module.app), clock, scheme="http", host="localhost")
        close(module.issuer)


@contextlib.contextmanager
def unconfigured_django() -> Iterator[None]:
    """Let the example configure Django, whatever another test has configured before."""
    from django.conf import settings
    from django.utils.functional import empty

    before = dict(settings.__dict__)
    settings._wrapped = empty
    yield
    settings.__dict__.clear()
    settings.__dict__.update(before)


async def post_json(browser: Browser, path: str, value: Any) -> Response:
    body = json.dumps(value).encode()
    headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
    return await browser.post(path, headers=headers, body=body)


async def test_a_browser_stays_signed_in(browser: Browser) -> None:
    signed_in = await post_json(browser, "/login", RIGHT)
    assert signed_in.status < 300
    assert set(signed_in.cookies) == {"__Host-access", "__Host-refresh"}
    first = await browser.get("/me")
    assert (first.status, first.json()) == (200, {"hello": "alice"})
    assert first.set_cookies == []

    browser.drop("__Host-access")  # what a browser does when the access token ends
    later = await browser.get("/me")

    assert (later.status, later.json()) == (200, {"hello": "alice"})
    assert set(later.cookies) == {"__Host-access", "__Host-refresh"}
    assert later.cookies["__Host-access"] != signed_in.cookies["__Host-access"]
    assert later.cookies["__Host-refresh"] != signed_in.cookies["__Host-refresh"]
    assert later.header("cache-control") == "private, no-store"


async def test_signing_out_is_final(browser: Browser) -> None:
    await post_json(browser, "/login", RIGHT)
    before = browser.fork()

    signed_out = await browser.post("/logout")

    assert signed_out.status < 300
    assert browser.values() == {}
    assert (await browser.get("/me")).status == 401
    assert (await before.get("/me")).status == 401  # nor do the old cookies count
    before.drop("__Host-access")
    assert (await before.get("/me")).status == 401


async def test_a_wrong_password_signs_nobody_in(browser: Browser) -> None:
    response = await post_json(browser, "/login", {"password": "Wünderland"})

    assert (response.status, response.set_cookies) == (401, [])
    assert (await browser.get("/me")).status == 401


async def test_the_refresh_endpoint_is_there(browser: Browser) -> None:
    signed_in = await post_json(browser, "/login", RIGHT)
    token = signed_in.cookies["__Host-refresh"]

    response = await browser.post(
        "/auth/refresh", headers=[("authorization", f"Bearer {token}")], cookies={}
    )

    assert response.status == 200
    assert {"access_token", "refresh_token"} <= set(response.json())


@pytest.mark.parametrize("name", QUICKSTARTS)
def test_it_runs_on_uvicorn_as_printed(name: str, tmp_path: Path) -> None:
    require(shutil.which("curl") is not None, "curl is not installed")
    port = free_port()
    arguments = ["--app-dir", str(EXAMPLES), f"{name}:app", "--port", str(port)]
    env = environment() | {"SECRET_KEY": SECRET_KEY}

    def curl(path: str, *options: str) -> str:
        command = ["curl", "-s", "-b", "jar", "-c", "jar", "-w", " %{http_code}", *options]
        command.append(f"http://localhost:{port}{path}")
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=30
        )
        return done.stdout

    header = f"--app-dir examples {name}:app"
    assert header in (EXAMPLES / f"{name}.py").read_text()
    with serve(arguments, port, cwd=tmp_path, env=env):
        login = curl("/login", "-H", "content-type: application/json", "-d", json.dumps(RIGHT))
        assert login.endswith((" 200", " 204"))
        assert json.loads(curl("/me")[:-4]) == {"hello": "alice"}
        curl("/logout", "-X", "POST")
        assert curl("/me").endswith(" 401")
