"""Answers of ``podfence serve``, as its schema has them."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.schema import SCHEMAS, violations
from tests.support.serving import Serving

SCHEMA = json.loads((SCHEMAS / "serve.schema.json").read_text("utf-8"))


def asked(server: Serving, path: str) -> Any:
    """An answer, which is one of those that the schema knows, about the input as it is now."""
    data = server.get(path)
    assert violations(data, SCHEMA, SCHEMA) == []
    assert data["revision"] == server.get("state")["revision"]
    return data
