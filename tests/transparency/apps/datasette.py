"""Datasette with a table of numbers, and the hook in which it asks who somebody is."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from datasette import hookimpl
from datasette.app import Datasette
from datasette.plugins import pm

from asgi_refresh import Auth
from tests.support import App


class Actors:
    """Says who a request is."""

    __name__ = "actors"

    @hookimpl
    def actor_from_request(self, request: Any) -> dict[str, str] | None:
        subject = Auth.of(request).subject
        return None if subject is None else {"id": subject}


def create(folder: Path) -> App:
    path = folder / "numbers.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE numbers (number INTEGER PRIMARY KEY)")
        database.executemany("INSERT INTO numbers VALUES (?)", ((n,) for n in range(5000)))
    pm.register(Actors())
    app: App = Datasette([str(path)]).app()
    return app
