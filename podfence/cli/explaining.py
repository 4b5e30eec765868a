"""``check --explain CODE``: what docs/errors.md says of a code, from inside the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import click

_SECTION = re.compile(r"^### (PF\d{3}): .*\n(?:(?!^##).*\n)*", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)#]*(?:#[^)]*)?\)")


@cache
def sections() -> Mapping[str, str]:
    """The section of every code; links are only their words."""
    text = files("podfence.cli").joinpath("errors.md").read_text(encoding="utf-8")
    return {found[1]: _LINK.sub(r"\1", found[0]).strip() for found in _SECTION.finditer(text)}


def explain(context: click.Context, parameter: click.Parameter, code: str | None) -> None:
    """Print the section of a code and end the command."""
    if code is None or context.resilient_parsing:
        return
    section = sections().get(code.strip().upper())
    if section is None:
        raise click.UsageError(f"--explain {code}: there is no such code; PF320 is one")
    click.echo(section)
    context.exit(0)
