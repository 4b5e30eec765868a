"""Charts and kustomizations among the files that a command reads.

Rule: what was rendered, and with what, is said; nothing is done by halves.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, BinaryIO

from podfence.cli.inputs import Inputs, RenderMode
from podfence.cli.terminal import echo
from podfence.manifests.inputfiles import InputFile, SkippedLink, read_inputs
from podfence.manifests.rendering import ChartOptions
from podfence.manifests.sources import RenderedInput, origins, with_rendered
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.manifests.gittree import GitTree


def rendered_files(inputs: Inputs, stdin: BinaryIO | None) -> tuple[InputFile | SkippedLink, ...]:
    """The files of an input, with what charts and kustomizations give in the place of their
    sources. Raises RenderError."""
    return _said(rendered(inputs, read_inputs(inputs.paths, stdin, inputs.exclude)))


def rendered(inputs: Inputs, files: Iterable[InputFile | SkippedLink]) -> RenderedInput:
    """The same of files that were read. Raises RenderError."""
    everything = inputs.rendering.mode is RenderMode.ALWAYS
    return with_rendered(files, _options(inputs), inputs.paths, everything=everything)


def rendered_from(inputs: Inputs) -> tuple[str, ...]:
    """The files and directories beside those of the input that rendering reads."""
    everything = inputs.rendering.mode is RenderMode.ALWAYS
    return (*inputs.rendering.values, *origins(inputs.paths, everything=everything))


def revision_files(
    inputs: Inputs, tree: GitTree, paths: Sequence[str]
) -> Iterable[InputFile | SkippedLink]:
    """The files of paths in a revision, rendered where those of a disk would be. Raises
    RenderError, GitError."""
    mode = inputs.rendering.mode
    everything = mode is RenderMode.ALWAYS
    if not everything and not (mode is RenderMode.AUTO and any(map(tree.names_source, paths))):
        return tree.files(paths, inputs.exclude)
    from podfence.manifests.gitrendering import rendered_revision

    options = _options(inputs)
    return _said(rendered_revision(tree, paths, inputs.exclude, options, everything=everything))


def _options(inputs: Inputs) -> ChartOptions:
    how = inputs.rendering
    namespace = inputs.namespace or DEFAULT_NAMESPACE
    return ChartOptions(
        how.values, how.sets, how.release, namespace, how.api_versions, how.kube_version
    )


def _said(found: RenderedInput) -> tuple[InputFile | SkippedLink, ...]:
    for line in found.said:
        echo(printable(line), err=True)
    return found.files
