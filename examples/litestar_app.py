"""Litestar: with SECRET_KEY set, uvicorn --app-dir examples litestar_app:app."""

import os
from hmac import compare_digest

from litestar import Litestar, Request, get, post
from litestar.exceptions import NotAuthorizedException

from asgi_refresh import Auth, Issuer, RefreshEndpoint, RefreshMiddleware, SQLiteStore

issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))


@post("/login", status_code=204)
async def login(request: Request) -> None:
    password = (await request.json())["password"]
    if not compare_digest(password.encode(), b"wonderland"):  # yours: a user table, a slow hash
        raise NotAuthorizedException
    Auth.of(request).login("alice")


@get("/me")
async def me(request: Request) -> dict[str, str]:
    if not request.user:
        raise NotAuthorizedException
    return {"hello": request.user.subject}


@post("/logout", status_code=204)
async def logout(request: Request) -> None:
    Auth.of(request).logout()


app = RefreshMiddleware(
    Litestar([login, me, logout]), issuer, endpoints={"/auth/refresh": RefreshEndpoint(issuer)}
)
