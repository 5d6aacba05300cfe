"""Bare ASGI: with SECRET_KEY set, uvicorn --app-dir examples bare_asgi:app."""

import json
import os
from hmac import compare_digest

from asgi_refresh import Auth, Issuer, RefreshEndpoint, RefreshMiddleware, SQLiteStore

issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))


async def application(scope, receive, send):
    assert scope["type"] == "http"
    auth, status, answer = Auth.of(scope), 204, b""
    match scope["method"], scope["path"]:
        case "POST", "/login":
            message = await receive()  # a short body comes in one
            password = json.loads(message["body"])["password"]
            if compare_digest(password.encode(), b"wonderland"):  # yours: a user table, a slow hash
                auth.login("alice")
            else:
                status = 401
        case "GET", "/me" if auth:
            status, answer = 200, json.dumps({"hello": auth.subject}).encode()
        case "GET", "/me":
            status = 401
        case "POST", "/logout":
            auth.logout()
        case _:
            status = 404
    await send({"type": "http.response.start", "status": status})
    await send({"type": "http.response.body", "body": answer})


app = RefreshMiddleware(application, issuer, endpoints={"/auth/refresh": RefreshEndpoint(issuer)})
