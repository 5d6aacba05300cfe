"""For Django: `request.user` and `request.auser` are the user whose primary key the subject is."""
# Django has no types.
# pyright: basic

from contextlib import suppress
from functools import cache
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.contrib.auth import get_backends, get_user_model
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ValidationError
from django.utils.functional import SimpleLazyObject

from asgi_refresh.auth import Auth


class UserMiddleware:
    """
    Puts the user into each request, looked up when somebody asks; its path goes into `MIDDLEWARE`.

    `AUTHENTICATION_BACKENDS` are asked, as for Django's own sessions: who is gone, or not active,
    is an `AnonymousUser`. Where the request has no session of ours, the user is whom a middleware
    before it found, so that Django's own may stand there.
    """

    sync_capable = async_capable = True

    def __init__(self, get_response: Any) -> None:
        self._get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        """Return the response; where Django is async, what it awaits."""
        nobody, scope = AnonymousUser(), getattr(request, "scope", {})  # WSGI has none
        before, abefore = getattr(request, "user", nobody), getattr(request, "auser", None)

        @cache
        def user() -> Any:
            try:
                subject = Auth.of(scope).subject
            except LookupError:
                subject = None
            if subject is None:
                return before
            with suppress(ValidationError):  # no user has such a key
                key = get_user_model()._meta.pk.to_python(subject)  # noqa: SLF001 - as Django does
                found = (backend.get_user(key) for backend in get_backends())
                return next((user for user in found if user is not None), nobody)
            return nobody

        async def auser() -> Any:
            found = await sync_to_async(user)()
            return found if found is not before or abefore is None else await abefore()

        request.user, request.auser = SimpleLazyObject(user), auser
        return self._get_response(request)
