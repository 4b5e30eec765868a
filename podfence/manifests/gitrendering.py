"""The output of charts and kustomizations of a revision.

Rule: programs read files, so the revision is written into a temporary folder; the repository and
its working tree stay unchanged. File names are those of the revision, never those of the folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from podfence.errors import PodfenceError
from podfence.manifests.gittree import GitError, GitTree
from podfence.manifests.inputfiles import InputFile, SkippedLink, read_inputs
from podfence.manifests.rendering import ChartOptions, RenderError
from podfence.manifests.sources import RenderedInput, with_rendered


def rendered_revision(
    tree: GitTree,
    paths: Sequence[str],
    exclude: Sequence[str],
    options: ChartOptions,
    *,
    everything: bool,
) -> RenderedInput:
    """The files of the paths in a revision, as ``with_rendered`` gives those of a disk. A path that
    is not in the revision is empty. Raises RenderError, GitError."""
    try:
        with TemporaryDirectory(prefix="podfence-") as folder:
            root = os.path.realpath(folder)
            tree.write(root)
            targets = {
                path: os.path.normpath(os.path.join(root, tree.tree_path(path))) for path in paths
            }
            shown = _namer(tree.revision, root, targets)
            there = [target for target in targets.values() if os.path.exists(target)]
            try:
                files = read_inputs(there, None, exclude)
                found = with_rendered(files, options, there, everything=everything)
            except PodfenceError as error:
                raise RenderError(shown(error.message)) from error
            named = (_named(each, shown) for each in found.files)
            return RenderedInput(tuple(named), tuple(map(shown, found.said)))
    except OSError as error:
        raise GitError(f"{tree.revision} cannot be written out: {error.strerror}") from error


def _namer(revision: str, root: str, targets: dict[str, str]) -> Callable[[str], str]:
    """Names of the folder -> names of the revision, the longest first."""
    names = {}
    for path, target in targets.items():
        names[target] = f"{revision}:{path}"
        names.setdefault(os.path.dirname(target), f"{revision}:{os.path.dirname(path) or '.'}")
    names.pop(os.path.dirname(root), None)
    names.setdefault(root, f"{revision}:")
    ordered = sorted(names.items(), key=lambda each: -len(each[0]))

    def shown(text: str) -> str:
        for target, name in ordered:
            text = text.replace(target, name)
        return text

    return shown


def _named(file: InputFile | SkippedLink, shown: Callable[[str], str]) -> InputFile | SkippedLink:
    if isinstance(file, SkippedLink):
        return SkippedLink(shown(file.path), shown(file.walked))
    return replace(
        file,
        path=shown(file.path),
        error=shown(file.error),
        walked=shown(file.walked),
        chart=shown(file.chart),
    )
