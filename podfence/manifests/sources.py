"""Charts and kustomizations among the files of an input, replaced by their output.

Rule: a ``Chart.yaml`` or ``kustomization.yaml`` is one if it was named, or the directory that holds
it was; those further below are only when that was asked for. The files that a chart or a
kustomization is made of are not read as manifests too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from msgspec import Struct

from podfence.manifests.inputfiles import (
    KUSTOMIZATION_FILES,
    InputFile,
    SkippedLink,
    folders,
    is_chart,
    is_source,
    sources_of,
)
from podfence.manifests.rendering import (
    ChartOptions,
    Rendered,
    render_chart,
    render_kustomization,
)
from podfence.manifests.yamlreader import read_yaml
from podfence.manifests.yamlscalars import Scalars

_LISTS: Final = ("resources", "bases", "components", "crds", "configurations", "transformers")
_LIBRARY: Final = "library"


class RenderedInput(Struct, frozen=True):
    """``files``: with rendered output in place of its sources; ``said``: a line for each of
    these."""

    files: tuple[InputFile | SkippedLink, ...]
    said: tuple[str, ...]


def with_rendered(
    files: Iterable[InputFile | SkippedLink],
    options: ChartOptions,
    paths: Iterable[str],
    *,
    everything: bool,
) -> RenderedInput:
    """``paths``: as the user named them; ``everything``: also render what is below. Raises
    RenderError."""
    read = tuple(files)
    roots_named = {os.path.realpath(path) for path in paths}
    sources = [
        file
        for file in read
        if isinstance(file, InputFile)
        and not file.error
        and is_source(file.path)
        and (everything or not file.walked or not roots_named.isdisjoint(_names(file)))
    ]
    charts = [file for file in sources if is_chart(file.path)]
    others = [file for file in sources if file not in charts]
    inner = {_real_folder(file) for file in charts}
    chosen = [f for f in charts if not f.walked or not _is_below(_parent(_real_folder(f)), inner)]
    used = {path for file in others for path in _references(file)}
    chosen += [
        f
        for f in others
        if not f.walked or (_real_folder(f) not in used and not _is_below(_real_folder(f), inner))
    ]
    whole = [f for f in sources if f.walked or is_chart(f.path) or _real_folder(f) in roots_named]
    roots = {_real_folder(file) for file in whole}
    named = {id(file) for file in sources if not file.walked}
    left = tuple(
        file
        for file in read
        if not (
            id(file) in named
            or (
                isinstance(file, InputFile)
                and file.walked
                and (_is_below(os.path.realpath(file.path), roots | used))
            )
        )
    )
    made = [(file, rendered) for file in chosen if (rendered := _render(file, options))]
    said = tuple(f"rendered {_folder(file)} {rendered.said}" for file, rendered in made)
    return RenderedInput((*left, *(each for _, one in made for each in one.files)), said)


def origins(paths: Iterable[str], *, everything: bool) -> tuple[str, ...]:
    """The directories and files that charts and kustomizations are rendered from: where a change
    changes what they give. The arguments are those of ``with_rendered``."""
    waiting = [source for path in paths for source in sources_of(path)]
    if everything:
        below = (each for path in paths for each in folders(path))
        waiting += [
            os.path.join(d, name) for d, names in below for name in names if is_source(name)
        ]
    found: dict[str, None] = {}
    seen: set[str] = set()
    while waiting:
        source = waiting.pop()
        if os.path.realpath(source) in seen:
            continue
        seen.add(os.path.realpath(source))
        found[os.path.dirname(source) or "."] = None
        if os.path.basename(source) in KUSTOMIZATION_FILES:
            for path in _references(_read(source)):
                found[path] = None
                waiting += sources_of(path) if os.path.isdir(path) else ()
    return tuple(found)


def _read(path: str) -> InputFile:
    """A file, without text if it cannot be read: the program that renders it will report that."""
    try:
        with open(path, encoding="utf-8") as file:
            return InputFile(path, file.read())
    except (OSError, UnicodeDecodeError):
        return InputFile(path)


def _render(file: InputFile, options: ChartOptions) -> Rendered | None:
    """None for a chart that has no objects of its own."""
    if not is_chart(file.path):
        return render_kustomization(file.path)
    chart = _mapping(file)
    name = chart.get("name")
    if file.walked and chart.get("type") == _LIBRARY:
        return None
    return render_chart(_folder(file), name if isinstance(name, str) else "", options)


def _folder(file: InputFile) -> str:
    return os.path.dirname(file.path) or "."


def _real_folder(file: InputFile) -> str:
    return os.path.realpath(_folder(file))


def _names(file: InputFile) -> tuple[str, str]:
    """What names a source: its directory, or itself, also where the walk of another came first."""
    return _real_folder(file), os.path.realpath(file.path)


def _parent(path: str) -> str:
    return os.path.dirname(path)


def _is_below(path: str, roots: Iterable[str]) -> bool:
    """Whether a path is one of these or lies in one."""
    return any(path == root or path.startswith(os.path.join(root, "")) for root in roots)


def _mapping(file: InputFile) -> Mapping[str, Any]:
    parsed = read_yaml(file.text, 1, Scalars())
    value = parsed.value if parsed.readable else None
    return value if isinstance(value, Mapping) else {}


def _references(file: InputFile) -> Iterator[str]:
    """The files and directories of this machine that a kustomization is made of."""
    value = _mapping(file)
    for key in _LISTS:
        listed = value.get(key)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, str) and "://" not in each:
                yield os.path.realpath(os.path.join(_folder(file), each))
    for key in ("patches", "patchesStrategicMerge", "patchesJson6902"):
        listed = value.get(key)
        for each in listed if isinstance(listed, list) else ():
            path = each.get("path") if isinstance(each, Mapping) else each
            if isinstance(path, str) and "\n" not in path:
                yield os.path.realpath(os.path.join(_folder(file), path))
