"""Stand-ins of modules: the same answers, and the module itself only where it is asked."""

from __future__ import annotations

import importlib
import inspect
import platform
import subprocess
import sys

import pytest

from podfence.cli.standin import left_out, without
from tests.cli.session import ROOT

RARE = "colorsys"
"""A module that nothing here imports."""


@pytest.fixture(autouse=True)
def not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, RARE, raising=False)


def test_a_stand_in_answers_as_the_module_does_and_gives_way_to_it() -> None:
    with left_out(RARE):
        early = importlib.import_module(RARE)
    assert RARE not in sys.modules
    assert early.rgb_to_hls(1, 0, 0) == (0.0, 0.5, 1.0)
    late = importlib.import_module(RARE)
    assert late is not early
    assert early.rgb_to_hls is late.rgb_to_hls
    with pytest.raises(AttributeError):
        _ = early.no_such_name


def test_a_module_that_is_there_gets_no_stand_in() -> None:
    late = importlib.import_module(RARE)
    with left_out(RARE):
        assert importlib.import_module(RARE) is late
    assert sys.modules[RARE] is late


def test_a_package_is_not_found_inside_and_found_again() -> None:
    with without(RARE), pytest.raises(ModuleNotFoundError):
        importlib.import_module(RARE)
    late = importlib.import_module(RARE)
    with without(RARE):
        assert importlib.import_module(RARE) is late


@pytest.mark.parametrize(
    "text", ["", "One line.", "  indented", "\ttab", "a\tb", "Two\n    lines.\n", "\n  a\n\n", " "]
)
def test_help_is_cleaned_as_inspect_does(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "inspect")
    with left_out("inspect"):
        early = importlib.import_module("inspect")
    assert early is not inspect
    assert early.cleandoc(text) == inspect.cleandoc(text)


def test_the_name_of_the_system_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "platform")
    with left_out("platform"):
        early = importlib.import_module("platform")
    assert early is not platform
    assert early.system() == platform.system()
    assert early.machine() == platform.machine()


def test_a_question_imports_none_of_what_it_does_not_ask() -> None:
    words = ["can", "shop/frontend", "shop/backend:8000", "-f", str(ROOT / "examples" / "shop")]
    program = (
        "import sys\n"
        "from podfence.cli.main import run\n"
        f"sys.argv[1:] = {words!r}\n"
        "try:\n    run()\n"
        "except SystemExit as end:\n    print(end.code)\n"
        "print(*sorted({'inspect', 'textwrap', 'platform', 'msgspec.inspect',"
        " 'typing_extensions'} & {*sys.modules}))\n"
    )
    found = subprocess.run(
        [sys.executable, "-I", "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    code, loaded = found.stdout.split("\n")[-3:-1]
    assert code in "01"
    assert loaded == ""
    assert found.stderr == ""
