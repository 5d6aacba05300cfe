"""`tests.conformance.serve:app`, what the servers run: the application that the variable names."""

from __future__ import annotations

import importlib
import os

from tests.conformance.site import VARIABLE, Site, controlled

_site = Site()
app = controlled(
    importlib.import_module(f"tests.conformance.apps.{os.environ[VARIABLE]}").create(_site), _site
)
