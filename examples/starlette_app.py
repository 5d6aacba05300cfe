"""Starlette: with SECRET_KEY set, uvicorn --app-dir examples starlette_app:app."""

import os
from hmac import compare_digest

from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.responses import JSONResponse, Response

from asgi_refresh import Auth, Issuer, RefreshEndpoint, RefreshMiddleware, SQLiteStore

issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))
endpoints = {"/auth/refresh": RefreshEndpoint(issuer)}


async def login(request):
    password = (await request.json())["password"]
    if not compare_digest(password.encode(), b"wonderland"):  # yours: a user table, a slow hash
        return Response(status_code=401)
    Auth.of(request).login("alice")
    return Response(status_code=204)


@requires("authenticated", status_code=401)
async def me(request):
    return JSONResponse({"hello": request.user.subject})


async def logout(request):
    request.auth.logout()
    return Response(status_code=204)


app = Starlette()
app.add_middleware(RefreshMiddleware, issuer=issuer, endpoints=endpoints)
app.add_route("/login", login, methods=["POST"])
app.add_route("/me", me)
app.add_route("/logout", logout, methods=["POST"])
