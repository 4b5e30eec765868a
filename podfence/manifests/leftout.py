"""Files of a directory that are not manifests, and the warning about them.

Rule: a file that the user named is a manifest or an error. A file that was found in a directory is
left out if none of its documents can be an object of the API, or if it is a template that was not
rendered. There is one warning for all of them.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from podfence.admission.kinds import API_VERSIONS, POLICY_KINDS, group_of
from podfence.errors import Position, Problem, Severity, Source
from podfence.manifests.inputfiles import KUSTOMIZATION_FILES, InputFile, SkippedLink
from podfence.manifests.listing import version_of, wanted_kind_of
from podfence.manifests.splitting import guess_identity

LEFT_OUT_CODES: Final = {
    "PF115": "files of a directory that are not manifests",
    "PF116": "an item of a List that is null",
}
_SHOWN: Final = 8
"""Names in the warning; the others are counted."""
_PARTS_OF_OBJECTS: Final = frozenset({"metadata", "spec", "items"})
_OUR_GROUPS: Final = frozenset(map(group_of, API_VERSIONS.values()))
_POLICY: Final = r"""kind["']?[ \t]*:[ \t]*["']?(\w+)"""


class LeftOutFile(Struct, frozen=True):
    """A file or a link that was found in the directory ``walked`` and is not read as manifests.

    ``chart``: the Helm chart around it, "" for none. ``is_template``: it was not rendered;
    ``holds_policy``: it would give policies, too. ``is_link``: it leads back up.
    """

    path: str
    walked: str
    chart: str = ""
    is_template: bool = False
    holds_policy: bool = False
    is_link: bool = False

    @staticmethod
    def of(file: InputFile, *, is_template: bool) -> LeftOutFile:
        """The entry of a file."""
        kinds = set(re.findall(_POLICY, file.text)) if is_template else set()
        return LeftOutFile(
            file.path, file.walked, file.chart, is_template, not kinds.isdisjoint(POLICY_KINDS)
        )

    @staticmethod
    def of_link(link: SkippedLink) -> LeftOutFile:
        """The entry of a link."""
        return LeftOutFile(link.path, link.walked, is_link=True)


def may_be_object(value: Any) -> bool:
    """Whether a document with errors may be meant as one object or several."""
    if isinstance(value, str):
        return text_may_be_object(value)
    if isinstance(value, list):
        return any(wanted_kind_of(item) and may_be_object(item) for item in value)
    if not isinstance(value, dict):
        return False
    has_kind = isinstance(value.get("kind"), str) and value["kind"] != ""
    version = version_of(value)
    if has_kind and version:
        return True
    ours = bool(version) and group_of(version) in _OUR_GROUPS
    return (has_kind or ours) and not _PARTS_OF_OBJECTS.isdisjoint(value)


def text_may_be_object(text: str) -> bool:
    """The same for text that cannot be parsed."""
    kind, _ = guess_identity(text)
    return kind.removesuffix("List") in POLICY_KINDS or (bool(kind) and "apiVersion" in text)


def is_template_of_chart(file: InputFile) -> bool:
    """Whether Helm would render the file: one of ``templates`` with an action in it."""
    return "{{" in file.text and file.in_chart.startswith("templates/")


def is_kustomization_file(path: str) -> bool:
    """Whether ``kubectl kustomize`` builds from a file of this name: it may do without a kind."""
    return path.rpartition("/")[2] in KUSTOMIZATION_FILES


def left_out_problems(files: Sequence[LeftOutFile]) -> Iterator[Problem]:
    """One warning for all of them."""
    if not files:
        return
    root = files[0].walked
    text = "; ".join(_sentences(files))
    yield Problem("PF115", Severity.WARNING, text, Source(root), position=Position(root, 1, 1))


def _sentences(files: Sequence[LeftOutFile]) -> Iterator[str]:
    charts = Counter(each.chart for each in files if each.chart)
    links = [each.path for each in files if each.is_link]
    alone = [each for each in files if not each.chart and not each.is_link]
    others = [each.path for each in alone if not each.is_template]
    templates = [each.path for each in alone if each.is_template]
    if others:
        yield f"these files are not Kubernetes manifests and are left out: {_names(others)}"
    if templates:
        yield f"these templates were not rendered and are left out: {_names(templates)}"
    if charts:
        name = next(iter(charts))
        yield (
            f"the files of a Helm chart are left out: {_names(list(charts))}; to read "
            f"what it gives, name it: -f {name}, or use --render always"
        )
    if links:
        yield f"these links lead to a directory above them and are not followed: {_names(links)}"
    if policies := [each.path for each in files if each.holds_policy]:
        yield f"the policies in {_names(policies)} are missing from every answer"


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown
