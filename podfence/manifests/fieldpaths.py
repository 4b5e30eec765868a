"""Field paths as text: ``spec.ingress[0].ports[1].port``.

Rule: ``parse_path(format_path(steps)) == steps`` up to one ambiguity: an index and a key of the
same digits are both written ``[0]``, which reads as an index and is looked up as either.

Grammar: steps follow one another, each is one of

- ``.name`` (no dot before the first): a key of letters, digits, ``_`` and ``-``;
- ``[3]``: an index;
- ``[app.kubernetes.io/name]``: a key with dots or slashes, as the API server writes it;
- ``["any \\"text\\""]``: any key, as a JSON string.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

PathStep = str | int
FieldSteps = tuple[PathStep, ...]

_STEP = r"""(?xs)\[(?P<index>[0-9]{1,9})\]
      | \[(?P<quoted>"(?:[^"\\]|\\.)*")\]
      | \[(?P<bracketed>[^\]]+)\]
      | \.?(?P<name>[^.\[]+)
      | (?P<skipped>.)"""
_NAME: Final = r"[A-Za-z_$][A-Za-z0-9_$-]*"


def parse_path(path: str) -> FieldSteps:
    """Keys and indexes of a path; ``""`` is the object itself. Never raises: see ``Positions``."""
    return tuple(_step(match) for match in re.finditer(_STEP, path) if match.lastgroup != "skipped")


def _step(match: re.Match[str]) -> PathStep:
    if match.lastgroup == "index":
        return int(match["index"])
    if match.lastgroup == "quoted":
        return _unquoted(match["quoted"])
    return match["bracketed"] or match["name"]


def _unquoted(text: str) -> str:
    import json

    try:
        return str(json.loads(text, strict=False))
    except ValueError:  # a lone backslash: the text itself is the best reading of the key
        return text[1:-1]


def format_path(steps: Sequence[PathStep]) -> str:
    """The path as the API server writes it; keys that this cannot express are quoted."""
    return "".join(map(_formatted, steps)).removeprefix(".")


def _formatted(step: PathStep) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if re.fullmatch(_NAME, step):
        return f".{step}"
    if step and step.isprintable() and not set('[]"') & set(step):
        return f"[{step}]"
    import json

    return f"[{json.dumps(step)}]"


def is_below(steps: FieldSteps, prefix: FieldSteps) -> bool:
    """Whether a field is another one or in it."""
    return steps[: len(prefix)] == prefix
