"""
What the answers of an application say about it. Nothing here asks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from .cookie_findings import is_token, of_cookies
from .finding import Finding, Level
from .probing import FOREIGN, Visit

_MAX_AGE: Final = re.compile(r"max-age=\"?(\d{1,12})")
_PROXIES: Final = ("via", "cf-ray", "x-cache", "x-served-by", "x-amz-cf-id", "age", "x-varnish")
_FRONTS: Final = re.compile(
    r"nginx|openresty|apache|caddy|envoy|cloudflare|haproxy|traefik|awselb|varnish|squid|litespeed",
    re.IGNORECASE,
)
_HALF_A_YEAR: Final = 180 * 86400


def judge(visit: Visit) -> list[Finding]:
    """Return what *visit* found, the bad before the good."""
    found = [
        *_of_transport(visit),
        *_of_errors(visit),
        *_of_cross_origin(visit),
        *_of_cors(visit),
        *_of_signing_in(visit),
        *of_cookies(visit),
        *_of_caching(visit),
        *_of_proxies(visit),
    ]
    order: dict[Level, int] = {"bad": 0, "note": 1, "good": 2}
    return sorted(dict.fromkeys(found), key=lambda one: order[one.level])


def _of_transport(visit: Visit) -> Iterator[Finding]:
    target, hsts = visit.target, visit.page.get("strict-transport-security")
    if target.scheme == "http":
        yield Finding(
            "note" if target.is_local else "bad",
            "plain-http",
            f"{target.origin} is plain http",
            "Whoever is on the way reads and changes everything, cookies included; browsers keep"
            " Secure cookies over plain http for localhost only, and Safari not even there.",
            "Serve it by https; on a laptop only, Config is LOCALHOST.",
        )
        return
    match = _MAX_AGE.search(hsts.lower())
    if not match or int(match[1]) < _HALF_A_YEAR:
        yield Finding(
            "bad",
            "no-hsts",
            f"{visit.page.asked}: Strict-Transport-Security is {hsts or 'missing'!r}",
            "The first visit of each browser may still go by plain http, where somebody on the way"
            " can answer in your place.",
            "Send Strict-Transport-Security: max-age=31536000; includeSubDomains, at the proxy.",
        )


def _of_errors(visit: Visit) -> Iterator[Finding]:
    if visit.page.status >= 500:
        yield Finding(
            "bad",
            "server-error",
            f"{visit.page.asked}: {visit.page.status}",
            "The page fails for everybody, so little can be said of the rest.",
            "See the application's log.",
        )
    elif visit.junk.status >= 500:
        yield Finding(
            "bad",
            "bad-cookie-error",
            f"{visit.junk.asked} that are no tokens: {visit.junk.status}, and"
            f" {visit.page.status} without",
            "Anybody's stale or broken cookie takes the page away from them until they delete it.",
            "A bad token must make a request anonymous: read `auth` of RefreshMiddleware, and"
            " decode no cookie in the application.",
        )


def _of_cross_origin(visit: Visit) -> Iterator[Finding]:
    cross, same = visit.cross, visit.same
    ours = cross.body.startswith(b"Refused: a request from another origin")
    seen = f"{cross.asked}: {cross.status}"
    if cross.status != 403:
        yield Finding(
            "bad",
            "cross-origin-accepted",
            seen,
            "A POST from another site's page, with cookies, reached the application. If it takes"
            " cookies as proof, any page acts as its visitor (CSRF), unless each handler checks.",
            "Put RefreshMiddleware in front with cross_origin='refuse' (the default), outside"
            " of whatever answers this; name other origins of yours in trusted_origins.",
        )
    elif same.status == 403 and same.body.startswith(b"Refused: a request from another origin"):
        yield Finding(
            "bad",
            "same-origin-refused",
            f"{same.asked}: 403, as if from another origin",
            "The application is told another Host than the browser has, so browsers that send no"
            " Sec-Fetch-Site cannot sign in or save anything.",
            "Let the proxy pass Host on (nginx: proxy_set_header Host $http_host), or set"
            f" trusted_origins=['{visit.target.origin}'].",
        )
    else:
        by = "asgi_refresh refuses it" if ours else "it is refused, though not by asgi_refresh"
        yield Finding("good", "cross-origin-refused", seen, f"A POST from another site: {by}.")


def _of_cors(visit: Visit) -> Iterator[Finding]:
    for answer in (visit.junk, visit.preflight):
        allowed = answer.get("access-control-allow-origin")
        credentials = answer.get("access-control-allow-credentials").lower() == "true"
        if not credentials or allowed not in ("*", FOREIGN):
            continue
        yield Finding(
            "bad",
            "cors-any-origin",
            f"{answer.asked}: Access-Control-Allow-Origin is {allowed}, with credentials",
            "Every site may read what its visitors see here, with their cookies."
            if allowed == FOREIGN
            else "Browsers refuse this pair; many frameworks answer requests with cookies by the"
            " caller's origin instead, and then every site reads what its visitors see.",
            "List the origins that may read (allow_origins=['https://app.example']), or take"
            " allow_credentials away.",
        )
        return


def _of_signing_in(visit: Visit) -> Iterator[Finding]:
    login, page = visit.login, visit.signed_in
    if login is not None and (login.status >= 400 or not login.all("set-cookie")):
        yield Finding(
            "bad",
            "login-failed",
            f"{login.asked}: {login.status}, {len(login.all('set-cookie'))} cookies",
            "Nobody was signed in, so the cookies could not be looked at.",
            "Check the path and the fields; JSON and forms are told apart by their text.",
        )
    elif login is None and page is None:
        yield Finding(
            "note",
            "not-signed-in",
            "no --login and no --cookies",
            "The cookies of a session were not seen: their attributes, and what caches are told.",
            "Sign in with --login PATH --body -, as somebody made for this.",
        )
    elif page is not None and not any(is_token(line) for line in page.all("set-cookie")):
        yield Finding(
            "note",
            "no-refresh",
            f"{page.asked}, without the access cookie: no new cookie",
            "The page did not refresh the session. That is right for a path in `exclude`, for a"
            " page that shared caches may keep, and for a session that has ended.",
            "Give the URL of a page that is for one user.",
        )
    elif page is not None:
        seen = f"{page.asked}, without the access cookie: {page.status} and new cookies"
        yield Finding("good", "refreshed", seen, "The session refreshed in the same request.")


def _of_caching(visit: Visit) -> Iterator[Finding]:
    for answer in visit.answers:
        if not any(map(is_token, answer.all("set-cookie"))):
            continue
        if not {"no-store", "private"} & answer.members("cache-control"):
            yield Finding(
                "bad",
                "cacheable-cookie",
                f"{answer.asked}: Set-Cookie, and Cache-Control is"
                f" {answer.get('cache-control') or 'missing'}",
                "A cache in between may keep the response and hand the token to the next visitor.",
                "Cache-Control: private, no-store, which RefreshMiddleware writes: is it rewritten"
                " on the way, or is the cookie another's?",
            )
    page, signed_in = visit.page, visit.signed_in
    said = page.members("cache-control")
    invites = any(one.partition("=")[0] in ("public", "s-maxage", "max-age") for one in said)
    keeps = invites and not {"no-store", "private", "max-age=0"} & said
    varies = {"cookie", "*"} & page.members("vary")
    if signed_in is not None and signed_in.body != page.body and keeps and not varies:
        yield Finding(
            "bad",
            "page-cached-for-all",
            f"{page.asked}: Cache-Control is {page.get('cache-control')}, without Vary: Cookie",
            "The page is another for who is signed in, and caches are told it is one for all.",
            "Read `auth` through RefreshMiddleware, which then writes Vary; and say private.",
        )


def _of_proxies(visit: Visit) -> Iterator[Finding]:
    target, page = visit.target, visit.page
    signs = [f"{name}: {page.get(name)}" for name in _PROXIES if page.get(name)]
    servers = ", ".join(page.all("server"))
    if _FRONTS.search(servers):
        signs.insert(0, f"server: {servers}")
    if signs:
        yield Finding(
            "note",
            "proxy",
            f"{page.asked}: {', '.join(signs)}",
            "A proxy is in front: it must pass on Host, the scheme and all Set-Cookie lines.",
            "docs/frameworks.md says what to set.",
        )
    else:
        yield Finding("note", "no-proxy", f"{page.asked}: no header of one", "No proxy was seen.")
    for answer in visit.answers:
        if answer.get("location").startswith(f"http://{target.host}") and target.scheme == "https":
            yield Finding(
                "bad",
                "scheme-lost",
                f"{answer.asked}: {answer.status} to {answer.get('location')}",
                "The application believes that it is asked by plain http, and sends browsers there,"
                " with what they carry.",
                "Let the proxy say X-Forwarded-Proto and the server believe it (uvicorn:"
                " --proxy-headers --forwarded-allow-ips with the proxy's address).",
            )
    if 300 <= page.status < 400:
        yield Finding(
            "note",
            "redirects",
            f"{page.asked}: {page.status} to {page.get('location')}",
            "Redirects are not followed.",
            "Give the URL of the page itself.",
        )
