"""Charts and kustomizations among the files that a command reads.

Rule: what was rendered, and with what, is said; nothing is done by halves.
"""

from __future__ import annotations

from typing import BinaryIO

from podfence.cli.inputs import Inputs, RenderMode
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
    options = ChartOptions(
        how.values, how.sets, how.release, namespace, how.api_versions, how.kube_version
    )
    files = read_inputs(inputs.paths, stdin, inputs.exclude)
    everything = how.mode is RenderMode.ALWAYS
    found = with_rendered(files, options, inputs.paths, everything=everything)
    for line in found.said:
        echo(printable(line), err=True)
    return found.files
