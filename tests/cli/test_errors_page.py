"""docs/errors.md has every code, its meaning as the source says it, and examples that are true."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from podfence.admission.decode import PROBLEM_CODES as MODEL_CODES
from podfence.errors import COMMAND_CODES
from podfence.manifests.domaintable import NAME_TABLE_CODES
from podfence.manifests.leftout import LEFT_OUT_CODES
from podfence.manifests.load import LOAD_CODES
from podfence.manifests.parsed import PROBLEM_CODES as READ_CODES
from podfence.manifests.testfiles import TEST_FILE_CODES
from podfence.questions.lint.findings import LINT_CODES, LINT_RULES, LINT_SLUGS
from podfence.questions.lint.ignoring import IGNORE_CODES
from podfence.questions.tests.ends import TEST_CODES
from podfence.render.plan_findings import PLAN_CODES
from podfence.render.tests_told import RESULT_CODES
from tests.cli.session import ROOT, UPDATE, podfence

PAGE = ROOT / "docs" / "errors.md"
SOURCE = {
    **COMMAND_CODES,
    **READ_CODES,
    **LOAD_CODES,
    **LEFT_OUT_CODES,
    **NAME_TABLE_CODES,
    **MODEL_CODES,
    **LINT_CODES,
    **PLAN_CODES,
    **TEST_FILE_CODES,
    **TEST_CODES,
    **RESULT_CODES,
    **IGNORE_CODES,
}
OF_ALL_TOGETHER = frozenset(
    "PF330 PF331 PF332 PF333 PF334 PF336 PF337 PF338 PF339 PF350 PF351 PF361 PF362 PF365".split()
)
"""Findings that are not about one policy alone, so that ``describe`` has none of them."""
_SECTION = re.compile(r"^### (PF\d{3}): (.*)\n((?:(?!^##).*\n)*)", re.MULTILINE)
_EXAMPLE = re.compile(r"```(?:yaml|json)\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)


@dataclass(frozen=True)
class Section:
    """One code of the page."""

    code: str
    title: str
    body: str

    def __str__(self) -> str:
        return self.code


SECTIONS = [Section(*found) for found in _SECTION.findall(PAGE.read_text(encoding="utf-8"))]


def test_the_page_lists_exactly_the_codes_of_the_source_in_order() -> None:
    assert [section.code for section in SECTIONS] == sorted(SOURCE)


def test_every_code_in_the_source_is_declared() -> None:
    used = {
        code
        for path in (ROOT / "podfence").rglob("*.py")
        for code in re.findall(r"PF\d{3}", path.read_text(encoding="utf-8"))
    }
    assert used == set(SOURCE)


def test_the_package_holds_the_page() -> None:
    """A link in the sources, so that there is one page; a wheel holds the page itself."""
    assert (ROOT / "podfence" / "cli" / "errors.md").samefile(PAGE)


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_check_explains_every_code(section: Section) -> None:
    done = podfence(["check", "--explain", section.code.lower()])
    assert done.status == 0
    assert done.out.startswith(f"### {section.code}: {section.title}\n")
    assert "](" not in done.out


@pytest.mark.parametrize("section", [s for s in SECTIONS if s.code in LINT_RULES], ids=str)
def test_a_finding_has_its_code_in_words(section: Section) -> None:
    slug = LINT_RULES[section.code].slug
    assert section.body.startswith(f"\nIn words: `{slug}`.\n")
    done = podfence(["check", "--explain", slug])
    assert done.out.startswith(f"### {section.code}: ")


def test_no_two_codes_have_the_same_words() -> None:
    assert len(LINT_SLUGS) == len(LINT_RULES)


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_the_title_is_the_meaning_that_the_source_gives(section: Section) -> None:
    assert section.title == SOURCE[section.code]


@pytest.mark.parametrize("section", [s for s in SECTIONS if "```yaml" in s.body], ids=str)
def test_the_example_prints_what_the_page_says(section: Section, tmp_path: Path) -> None:
    found = _EXAMPLE.search(section.body)
    assert found is not None
    (tmp_path / "input.yaml").write_text(found[1], encoding="utf-8")
    said = _said(section.code, tmp_path)
    assert f"[{section.code}]: " in said
    if UPDATE:
        _write(found, said)
    else:
        assert found[2] == said


def _said(code: str, directory: Path) -> str:
    """The lines of ``check``; of ``describe`` the note alone, of rules about all policies together
    what ``check`` says of that code."""
    if code < "PF300" or code in OF_ALL_TOGETHER or code in IGNORE_CODES:
        select = ["--select", code] if code in OF_ALL_TOGETHER else []
        done = podfence(["check", "-f", "input.yaml", *select], directory=directory)
        lines = done.out.splitlines()[:-1]
        own = [line for line in lines if code not in IGNORE_CODES or f"[{code}]" in line]
        return "".join(f"{line}\n" for line in own)
    done = podfence(["describe", "-f", "input.yaml"], directory=directory)
    notes = re.findall(r"^note\[.*\n(?:  .*\n)*", done.out, re.MULTILINE)
    return "".join(note for note in notes if note.startswith(f"note[{code}]"))


def _write(found: re.Match[str], said: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        text.replace(found[0], found[0].replace(f"```text\n{found[2]}", f"```text\n{said}"))
    )
