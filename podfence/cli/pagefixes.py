"""Repairs of findings for a page: which there are, and the texts that one of them makes of files.

Rule: they are those of ``check --fix`` with the settings of ``podfence.toml``, each alone on the
input as it is. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from podfence.cli.check_answer import configured_judgement
from podfence.cli.fixing import proved
from podfence.cli.settings import read_settings
from podfence.errors import Problem, UnknownObject
from podfence.manifests.inputfiles import is_rendered
from podfence.manifests.load import Loaded
from podfence.manifests.yamledit import CannotEdit
from podfence.policy.domains import DomainTable
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.fixes import Fix, Fixes
from podfence.questions.lint.note import WrittenObjects

Key = tuple[str, str, str]
"""A finding: its code, the object and the path of its field, as ``check -o json`` has them."""


class PageFixes:
    """``index``: of the same input, with the domain ``names``."""

    def __init__(self, loaded: Loaded, index: PolicyIndex, names: DomainTable) -> None:
        self._loaded = loaded
        self._index = index
        self._names = names

    def listed(self, _: Mapping[str, str]) -> dict[str, Any]:
        """The findings that have a repair, none of which is proved yet."""
        return {
            "fixes": [
                {
                    "code": code,
                    "object": of,
                    "path": path,
                    "does": fix.words,
                    "safe": not fix.unsafe,
                }
                for (code, of, path), fix in self._fixes.items()
            ]
        }

    def made(self, asked: Mapping[str, str]) -> dict[str, Any]:
        """One repair: the whole texts of the files that it edits; none, and why, where it cannot
        be made or would open what the policy does not say. Raises UnknownObject."""
        key = asked.get("code", ""), asked.get("object", ""), asked.get("path", "")
        fix = self._fixes.get(key)
        if fix is None:
            raise UnknownObject("no finding of this code, object and path has a repair")
        try:
            made = proved(self._loaded, fix, names=self._names)
        except CannotEdit as error:
            return _answer(fix, because=error.message)
        return _answer(fix, made.texts)

    @cached_property
    def _fixes(self) -> dict[Key, Fix]:
        if self._loaded.live or self._loaded.doubts:
            return {}
        settings = read_settings(None, none=False)
        found = configured_judgement(self._loaded, settings, self._index).new
        written = WrittenObjects(self._index, self._loaded.raw)
        cidrs = settings.cluster.pod_cidrs
        fixes = Fixes(self._index, written, cidrs, is_partial=settings.is_partial)
        every = ((each.problem, fixes.of(each)) for each in found)
        return {
            (problem.code, problem.object, problem.path): fix
            for problem, fix in every
            if fix is not None and not _is_rendered(problem)
        }


def _is_rendered(problem: Problem) -> bool:
    return problem.source is not None and is_rendered(problem.source.file)


def _answer(
    fix: Fix, texts: Mapping[str, tuple[str, str]] | None = None, because: str = ""
) -> dict[str, Any]:
    return {
        "does": fix.words,
        "safe": not fix.unsafe,
        "because": because,
        "texts": [
            {"file": file, "before": before, "after": after}
            for file, (before, after) in sorted((texts or {}).items())
        ],
    }
