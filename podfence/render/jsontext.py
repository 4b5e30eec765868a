"""JSON for standard output.

Rule: the text is valid JSON without control characters: a character that could act on a terminal is
written as an escape, which changes the text but not the value.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from podfence.errors import Position

_SURROGATE: Final = "[\ud800-\udfff]"


def json_bytes(value: object) -> bytes:
    """``value`` on one line, without a newline at its end."""
    try:
        data = msgspec.json.encode(value)
    except UnicodeEncodeError:  # a file name that is not UTF-8, which JSON cannot say
        import json

        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        data = re.sub(_SURROGATE, "\N{REPLACEMENT CHARACTER}", text).encode()
    return data if data.isascii() and b"\x7f" not in data else _escaped(data)


def json_text(value: object) -> str:
    """``value`` with indentation, to be read by people too; without a newline at its end."""
    return msgspec.json.format(json_bytes(value)).decode()


def position_data(position: Position | None) -> dict[str, object]:
    """``{"file", "line", "column"}`` as every schema has it; ``{}`` where no position is known."""
    if position is None:
        return {}
    return {"file": position.file, "line": position.line, "column": position.column}


def end_data(end: Position | None) -> dict[str, object]:
    """``{"endLine", "endColumn"}``, behind the last character; ``{}`` where that is not known."""
    return {} if end is None else {"endLine": end.line, "endColumn": end.column}


def _escaped(data: bytes) -> bytes:
    import json

    return "".join(
        c if c.isprintable() else json.dumps(c)[1:-1] if c != "\x7f" else "\\u007f"
        for c in data.decode()
    ).encode()
