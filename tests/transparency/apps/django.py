"""Django's admin, whose own page signs in; two receivers hand over what it decides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
from django.conf import settings
from django.core.asgi import get_asgi_application

from asgi_refresh import Auth
from tests.support import SECRET, App

urlpatterns: list[Any] = []
PASSWORD = "wonderland"


def create(folder: Path) -> App:
    settings.configure(
        ALLOWED_HOSTS=["*"],
        DATABASES={
            "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "admin.db")}
        },
        INSTALLED_APPS=[
            "django.contrib.admin",
            "django.contrib.auth",
            "django.contrib.contenttypes",
            "django.contrib.messages",
            "django.contrib.sessions",
        ],
        MIDDLEWARE=[
            "django.contrib.sessions.middleware.SessionMiddleware",
            "django.middleware.csrf.CsrfViewMiddleware",
            "django.contrib.auth.middleware.AuthenticationMiddleware",
            "asgi_refresh.compat.django.UserMiddleware",
            "django.contrib.messages.middleware.MessageMiddleware",
        ],
        PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"],  # a test's, and fast
        ROOT_URLCONF=__name__,
        SECRET_KEY=SECRET,
        TEMPLATES=[
            {
                "BACKEND": "django.template.backends.django.DjangoTemplates",
                "APP_DIRS": True,
                "OPTIONS": {
                    "context_processors": [
                        "django.template.context_processors.request",
                        "django.contrib.auth.context_processors.auth",
                        "django.contrib.messages.context_processors.messages",
                    ]
                },
            }
        ],
    )
    django.setup()
    _prepare()
    return get_asgi_application()


def _prepare() -> None:
    """Make the tables, a user, the address of the admin, and let sign-ins be told."""
    from django.contrib import admin
    from django.contrib.auth.models import User
    from django.contrib.auth.signals import user_logged_in, user_logged_out
    from django.core.management import call_command
    from django.urls import path

    call_command("migrate", verbosity=0)
    User.objects.create_superuser("alice", password=PASSWORD)
    urlpatterns.append(path("admin/", admin.site.urls))
    user_logged_in.connect(_signed_in, weak=False)
    user_logged_out.connect(_signed_out, weak=False)


def _signed_in(request: Any, user: Any, **_: Any) -> None:
    Auth.of(request).login(str(user.pk))


def _signed_out(request: Any, **_: Any) -> None:
    Auth.of(request).logout()
