"""Strawberry GraphQL: a query by HTTP, a subscription by WebSocket."""

# Not from __future__: strawberry reads the annotations at run time.
from collections.abc import AsyncGenerator
from pathlib import Path

import strawberry
from strawberry.asgi import GraphQL

from asgi_refresh import Auth
from tests.support import App


def _subject(info: strawberry.Info) -> str | None:
    return Auth.of(info.context["request"]).subject


@strawberry.type
class Query:
    """What can be asked."""

    @strawberry.field
    def who(self, info: strawberry.Info) -> str | None:
        return _subject(info)


@strawberry.type
class Subscription:
    """What can be listened to."""

    @strawberry.subscription
    async def told(self, info: strawberry.Info) -> AsyncGenerator[str | None, None]:
        for _ in range(3):
            yield _subject(info)


def create(_: Path) -> App:
    return GraphQL(strawberry.Schema(Query, subscription=Subscription))
