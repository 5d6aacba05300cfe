"""
Tokens for clients without cookies: sign in, call a protected route, refresh.

With SECRET_KEY set: uvicorn --app-dir examples refreshing_tokens:app.

POST /refresh takes the refresh token in `Authorization: Bearer`, or as JSON
`{"refresh_token": …}`. Next to the JSON, `Authorization: Bearer` may hold the access token: that
one is refused from then on, as are the earlier ones of the session.
"""

import os
from hmac import compare_digest

from fastapi import Body, Depends, FastAPI, HTTPException, Response

from asgi_refresh import (
    Auth,
    Issuer,
    RefreshEndpoint,
    RefreshMiddleware,
    SQLiteStore,
    require_auth,
)

issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))
app = FastAPI()
app.add_middleware(
    RefreshMiddleware, issuer=issuer, endpoints={"/refresh": RefreshEndpoint(issuer)}
)


@app.post("/login")
async def login(response: Response, password: str = Body(embed=True)):
    if not compare_digest(password.encode(), b"wonderland"):  # yours: a user table, a slow hash
        raise HTTPException(401)
    tokens = await issuer.issue("alice")
    response.headers["Cache-Control"] = "no-store"  # RFC 6749, 5.1
    return {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "refresh_token": tokens.refresh_token,
    }


@app.get("/protected")
def protected(auth: Auth = Depends(require_auth)):
    return {"hello": auth.subject}
