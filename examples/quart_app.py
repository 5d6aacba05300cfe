"""Quart: with SECRET_KEY set, uvicorn --app-dir examples quart_app:app."""

import os
from hmac import compare_digest

from quart import Quart, abort, request

from asgi_refresh import Auth, Issuer, RefreshEndpoint, RefreshMiddleware, SQLiteStore

issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))
app = Quart(__name__)
app.asgi_app = RefreshMiddleware(
    app.asgi_app, issuer, endpoints={"/auth/refresh": RefreshEndpoint(issuer)}
)


@app.post("/login")
async def login():
    password = (await request.get_json())["password"]
    if not compare_digest(password.encode(), b"wonderland"):  # yours: a user table, a slow hash
        abort(401)
    Auth.of(request).login("alice")
    return "", 204


@app.get("/me")
async def me():
    auth = Auth.of(request)
    return {"hello": auth.subject} if auth else abort(401)


@app.post("/logout")
async def logout():
    Auth.of(request).logout()
    return "", 204
