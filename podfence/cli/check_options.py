"""The options of ``podfence check`` as one value, and which of them go together."""

from __future__ import annotations

from collections.abc import Sequence, Set

import click
from msgspec import Struct

from podfence.cli.common import renders
from podfence.cli.inputs import Inputs
from podfence.cli.outputs import Output, read_outputs

FORMATS = ("text", "json", "sarif", "github", "junit")
NAMING = frozenset({"json", "sarif"})
"""Formats that identify a finding by its fingerprint."""


class CheckOptions(Struct, frozen=True, kw_only=True):
    """What is asked for besides the input."""

    outputs: tuple[str, ...]
    server_only: bool
    select: tuple[str, ...]
    ignore: tuple[str, ...]
    fail_on: str | None
    strict: bool
    baseline: str | None
    write_baseline: str | None
    fix: bool
    fix_diff: bool
    unsafe: bool
    with_fixes: bool
    frameworks: tuple[str, ...]
    watch: bool
    config: str | None
    no_config: bool

    @property
    def fixes(self) -> bool:
        """Whether fixes are made, or shown as they would be made."""
        return self.fix or self.fix_diff

    def formats(self, inputs: Inputs) -> tuple[Output, ...]:
        """Where answers go. Raises UsageError for options that do not go together."""
        formats = read_outputs(self.outputs, FORMATS)
        if self.fixes:
            _require_files_to_fix(inputs, formats, self)
        elif self.unsafe:
            raise click.UsageError("--unsafe selects fixes; add --fix-diff or --fix")
        _require_findings_as_data(
            {each.format for each in formats if not self.server_only},
            with_fixes=self.with_fixes,
            frameworks=self.frameworks,
        )
        if self.watch:
            _require_files_to_watch(inputs, edits=self.fixes or self.write_baseline is not None)
        _require_use_of_baseline(self.write_baseline, server_only=self.server_only)
        return formats


def _require_files_to_fix(inputs: Inputs, formats: Sequence[Output], asked: CheckOptions) -> None:
    """Raises UsageError."""
    if asked.server_only:
        raise click.UsageError("--server-only finds nothing to fix; drop one of the two")
    if asked.fix_diff and (asked.fix or [*formats] != [Output("text")]):
        raise click.UsageError("--fix-diff prints text and edits nothing; drop --fix and -o")
    if asked.fix and "-" in inputs.paths:
        raise click.UsageError("--fix edits files, not standard input; use --fix-diff")
    if asked.fix and renders(inputs):
        raise click.UsageError("--fix edits files, not rendered manifests; use --fix-diff")


def _require_files_to_watch(inputs: Inputs, *, edits: bool) -> None:
    """Raises UsageError."""
    if inputs.are_live or "-" in inputs.paths:
        raise click.UsageError("--watch follows files; name them with -f")
    if edits:
        raise click.UsageError("--watch edits nothing; drop --fix, --fix-diff, --write-baseline")


def _require_use_of_baseline(path: str | None, *, server_only: bool) -> None:
    """Raises UsageError."""
    if path is not None and server_only:
        raise click.UsageError("--server-only has no findings to write; drop --write-baseline")
    if path == "-":
        raise click.UsageError("--write-baseline - is not a file; name one")


def _require_findings_as_data(
    formats: Set[str], *, with_fixes: bool, frameworks: Sequence[str]
) -> None:
    """Raises UsageError. ``formats``: those in which there are findings."""
    if with_fixes and not formats & NAMING:
        raise click.UsageError(
            "--with-fixes adds to the findings of -o json and -o sarif; name one of them"
        )
    if frameworks and "sarif" not in formats:
        raise click.UsageError("--map-to adds to the findings of -o sarif; name it")
