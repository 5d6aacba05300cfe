"""
An AuthX application as AuthX's pages have it, and the one line that refreshes its tokens.

With SECRET_KEY set: uvicorn --app-dir examples authx_app:app. Needs authx.

The browser's access token expires; its next request, a POST with the CSRF token that the page has
read before included, is answered as if it had not: the refresh token's cookie brought a new one.
"""

import os

from authx import AuthX, AuthXConfig, TokenPayload
from fastapi import Depends, FastAPI, HTTPException, Response

from asgi_refresh import RefreshMiddleware, SQLiteStore
from asgi_refresh.compat.authx import authx_issuer

config = AuthXConfig(
    JWT_ALGORITHM="HS256",
    JWT_SECRET_KEY=os.environ["SECRET_KEY"],
    JWT_TOKEN_LOCATION=["cookies"],
)
auth = AuthX(config=config)
issuer = authx_issuer(config, store=SQLiteStore("sessions.db"))

app = FastAPI()
auth.handle_errors(app)
app.add_middleware(RefreshMiddleware, issuer=issuer)


@app.post("/login")
def login(username: str, password: str, response: Response):
    if (username, password) != ("test", "test"):  # yours: a user table, a slow hash
        raise HTTPException(401)
    auth.set_access_cookies(auth.create_access_token(username), response)
    auth.set_refresh_cookies(auth.create_refresh_token(username), response)
    return {"signed in": username}


@app.get("/protected")
def protected(payload: TokenPayload = Depends(auth.access_token_required)):
    return {"hello": payload.sub}


@app.post("/transfer")
def transfer(payload: TokenPayload = Depends(auth.access_token_required)):
    return {"paid by": payload.sub}


@app.post("/logout")
def logout(response: Response):
    auth.unset_cookies(response)
