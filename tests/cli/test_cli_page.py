"""docs/cli.md knows every command and option, and its reference is what ``--help`` prints."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from podfence.cli.main import COMMANDS, cli
from tests.cli.session import ROOT, UPDATE, podfence

PAGE = ROOT / "docs" / "cli.md"
MARK = "<!-- What follows is written by a test from --help; see contributing.md. -->\n"


def _commands(command: click.Command, words: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            assert found is not None
            yield from _commands(found, (*words, name))


ALL = list(_commands(cli))


def _find(words: tuple[str, ...]) -> click.Command:
    command: click.Command = cli
    for word in words:
        assert isinstance(command, click.Group)
        found = command.get_command(click.Context(command), word)
        assert found is not None
        command = found
    return command


def _reference() -> str:
    sections = []
    for words in ALL:
        text = podfence([*words, "--help"]).out.rstrip("\n")
        sections.append(f"### {' '.join(('podfence', *words))}\n\n```text\n{text}\n```\n")
    return "\n".join(sections)


def test_the_reference_is_what_help_prints() -> None:
    manual, mark, reference = PAGE.read_text(encoding="utf-8").partition(MARK)
    assert mark
    if UPDATE:
        PAGE.write_text(f"{manual}{mark}\n{_reference()}", encoding="utf-8")
    else:
        assert reference == f"\n{_reference()}"


@pytest.mark.parametrize("words", ALL[1:], ids=" ".join)
def test_the_manual_shows_every_command_at_work(words: tuple[str, ...]) -> None:
    manual = PAGE.read_text(encoding="utf-8").partition(MARK)[0]
    assert f"podfence {' '.join(words)} " in manual


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_and_option_has_a_help_text(words: tuple[str, ...]) -> None:
    command = _find(words)
    silent = [
        parameter.name
        for parameter in command.params
        if isinstance(parameter, click.Option) and not parameter.help
    ]
    assert (bool(command.help), silent) == (True, [])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_what_the_command_says(name: str) -> None:
    assert COMMANDS[name].endswith(".")
    assert name in podfence(["--help"]).out


def test_the_same_output_option_for_the_same_formats() -> None:
    formats = {
        words: option.type.choices
        for words in ALL
        for option in _find(words).params
        if option.name == "output" and isinstance(option.type, click.Choice)
    }
    assert {words for words in formats if "json" in formats[words]} == set(formats)
