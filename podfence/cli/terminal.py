"""Output on a terminal: a few coloured words, and tables that fit its width.

Rule: output to a file or a pipe does not depend on the terminal. ``NO_COLOR`` (not empty) turns
colour off, ``FORCE_COLOR`` (not empty) turns it on for files and pipes too.
"""

from __future__ import annotations

import os
import re
import sys
from typing import TextIO

import click

_COLOURS = {
    "error": "red",
    "warning": "yellow",
    "note": "cyan",
    "yes": "green",
    "allowed": "green",
    "no": "red",
    "denied": "red",
}
_WORDS = (
    r"^(?:[^ ]+: )?(?P<severity>error|warning|note)(?=\[PF\d{3}\]|: )"
    r"|^(?P<answer>yes|no)(?=: )"
    r"|^  (?:egress|ingress) +(?P<decision>allowed|denied)(?=: )"
    r"|^(?:egress|ingress) of .*: (?P<verdict>allowed|denied)$"
)
"""The words that say how a line is to be taken, where podfence itself writes them: names of objects
stand elsewhere in a line and never begin one."""


def echo(text: str, *, err: bool = False, nl: bool = True) -> None:
    """Print ``text``, with colours where they are wanted."""
    if has_colour(sys.stderr if err else sys.stdout):
        click.echo(coloured(text), err=err, nl=nl, color=True)
    else:
        click.echo(text, err=err, nl=nl)


def has_colour(stream: TextIO) -> bool:
    """Whether words on ``stream`` are coloured."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def coloured(text: str) -> str:
    """``text`` with its key words in colour."""
    return re.sub(_WORDS, _painted, text, flags=re.MULTILINE)  # compiled where it is wanted


def _painted(match: re.Match[str]) -> str:
    group = match.lastgroup
    assert group is not None
    word, line = match[group], match[0]
    at = match.start(group) - match.start()
    styled = click.style(word, fg=_COLOURS[word], bold=True)
    return line[:at] + styled + line[at + len(word) :]


def width_of(stream: TextIO) -> int | None:
    """Columns of the terminal that ``stream`` goes to; None when it goes elsewhere."""
    if not stream.isatty():
        return None
    import shutil  # only a terminal pays for it

    return shutil.get_terminal_size().columns
