"""FastAPI: with SECRET_KEY set, uvicorn --app-dir examples fastapi_app:app."""

import os
from hmac import compare_digest

from fastapi import Body, Depends, FastAPI, HTTPException

from asgi_refresh import (
    Auth,
    Issuer,
    RefreshEndpoint,
    RefreshMiddleware,
    SQLiteStore,
    get_auth,
    require_auth,
)

issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))
app = FastAPI()
app.add_middleware(
    RefreshMiddleware, issuer=issuer, endpoints={"/auth/refresh": RefreshEndpoint(issuer)}
)


@app.post("/login")
def login(password: str = Body(embed=True), auth: Auth = Depends(get_auth)):
    if not compare_digest(password.encode(), b"wonderland"):  # yours: a user table, a slow hash
        raise HTTPException(401)
    auth.login("alice")


@app.get("/me")
def me(auth: Auth = Depends(require_auth)):
    return {"hello": auth.subject}


@app.post("/logout")
def logout(auth: Auth = Depends(get_auth)):
    auth.logout()
