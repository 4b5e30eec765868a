"""Values of options that are read in one way everywhere: numbers, and the version of a server.

Rule: ``nan`` is refused where it is read, because every comparison with it is false.
"""

from __future__ import annotations

import re
from math import isnan
from typing import Any

import click


class Number(click.FloatRange):
    """A number in a range. ``nan`` is in no range."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number. Raises BadParameter."""
        found: float = super().convert(value, param, ctx)
        if isnan(found):
            self.fail(f"{value!r} is not a number", param, ctx)
        return found


# -- The version of the API server: what charts are rendered for, and how it reads what they give


STRICT_CIDRS_SINCE = 36
"""The minor version of Kubernetes since which CIDRs with host bits are refused."""
_VERSION = re.compile(r"v?1\.(\d{1,3})(?:\.\d{1,3})?(?:[-.+][-.+0-9A-Za-z]{0,64})?", re.ASCII)


def kube_version(context: click.Context, parameter: click.Parameter, text: str) -> str:
    """The value of ``--kube-version``. Raises UsageError for what is no version."""
    if text and _VERSION.fullmatch(text) is None:
        raise click.UsageError(f"--kube-version {text!r} is not a version; write for example 1.35")
    return text


def is_strict_about_cidrs(text: str) -> bool:
    """Whether a server of this version refuses CIDRs with host bits; "" is the newest version."""
    found = _VERSION.fullmatch(text)
    return found is None or int(found[1]) >= STRICT_CIDRS_SINCE
