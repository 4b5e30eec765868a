"""Charts and kustomizations among the files that a command reads.

Rule: what was rendered, and with what, is said; nothing is done by halves.
"""

from __future__ import annotations

from typing import BinaryIO

from podfence.cli.inputs import Inputs
from podfence.cli.terminal import echo
from podfence.manifests.inputfiles import InputFile, Skipped, read_inputs
from podfence.manifests.rendering import ChartOptions
from podfence.manifests.sources import with_rendered
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.text import printable


def rendered_files(inputs: Inputs, stdin: BinaryIO | None) -> tuple[InputFile | Skipped, ...]:
    """The files of an input, with what charts and kustomizations give in the place of their
    sources. Raises RenderError."""
    how = inputs.rendering
    namespace = inputs.namespace or DEFAULT_NAMESPACE
    options = ChartOptions(how.values, how.sets, how.release, namespace)
    files = read_inputs(inputs.paths, stdin, inputs.exclude)
    found = with_rendered(files, options, everything=bool(how.wanted))
    for line in found.said:
        echo(printable(line), err=True)
    return found.files
