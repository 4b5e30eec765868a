"""``check --explain CODE``: the section of docs/errors.md about a code, from inside the package."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

import click

from podfence.likeness import similar
from podfence.questions.lint.findings import LINT_SLUGS, code_of

_SECTION = re.compile(r"^### (PF\d{3}): .*\n(?:(?!^##).*\n)*", re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)#]*(?:#[^)]*)?\)")


@cache
def sections() -> Mapping[str, str]:
    """The section of every code; links are reduced to their words."""
    text = files("podfence.cli").joinpath("errors.md").read_text(encoding="utf-8")
    return {found[1]: _LINK.sub(r"\1", found[0]).strip() for found in _SECTION.finditer(text)}


def explain(context: click.Context, parameter: click.Parameter, code: str | None) -> None:
    """Print the section of a code and end the command."""
    if code is None or context.resilient_parsing:
        return
    name = code.strip().lower()
    section = sections().get(code_of(name)) or sections().get(name.upper())
    if section is None:
        close = similar(name, LINT_SLUGS)
        hint = f"did you mean {close[0]}?" if close else "PF320 is one"
        raise click.UsageError(f"--explain {code}: there is no such code; {hint}")
    click.echo(section)
    context.exit(0)
