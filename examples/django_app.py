"""Django: with SECRET_KEY set, uvicorn --app-dir examples django_app:app."""

import json
import os
from hmac import compare_digest

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpResponse, JsonResponse
from django.urls import path

from asgi_refresh import Auth, Issuer, RefreshEndpoint, RefreshMiddleware, SQLiteStore

settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["localhost"])
issuer = Issuer(os.environ["SECRET_KEY"], store=SQLiteStore("sessions.db"))


def login(request):
    password = json.loads(request.body)["password"]
    if not compare_digest(password.encode(), b"wonderland"):  # yours: django.contrib.auth
        return HttpResponse(status=401)
    Auth.of(request).login("alice")
    return HttpResponse(status=204)


def me(request):
    auth = Auth.of(request)
    return JsonResponse({"hello": auth.subject}) if auth else HttpResponse(status=401)


def logout(request):
    Auth.of(request).logout()
    return HttpResponse(status=204)


urlpatterns = [path("login", login), path("me", me), path("logout", logout)]
endpoints = {"/auth/refresh": RefreshEndpoint(issuer)}
app = RefreshMiddleware(get_asgi_application(), issuer, endpoints=endpoints, starlette=False)
