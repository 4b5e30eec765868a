"""``podfence``: the entry point. Commands are imported when they are called, so that help is
instant.

Rule: exit 0 = yes/clean, 1 = no/findings/differences, 2 = bad input or usage; 128 + n as for a
program that signal n ended, so that an interrupted command never looks like an answer. No traceback
reaches a user.
"""

from __future__ import annotations

import atexit
import errno
import gc
import os
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from io import TextIOWrapper
from typing import Any, NoReturn

# Commands make millions of small values that live until the end, as modules do: looking for garbage
# among them again and again cost half the time of a large map, and a tenth of what is imported.
gc.set_threshold(200_000, 50, 50)

from podfence._version import __version__  # noqa: E402 - behind the threshold, as all imports
from podfence.cli.standin import left_out, without  # noqa: E402 - as above

with left_out("inspect", "platform"):
    import click

COMMANDS = {
    "map": "Show who can reach whom.",
    "can": "Say whether one pod can reach another: yes or no.",
    "why": "Explain a yes or no: every policy that decided or came near.",
    "find": "Look up who reaches what, what stands open, and what a policy is for.",
    "describe": "Say in plain sentences what a policy really does.",
    "plan": "Show what a change opens and closes, and which edit does it.",
    "suggest": "Suggest policies for traffic that was seen.",
    "test": "Check that the cluster keeps what test files promise.",
    "check": "Validate manifests as the API server would.",
    "simplify": "Show which rules can go while every verdict stays the same.",
    "report": "Write one HTML file that shows who can reach whom, and why.",
    "serve": "Show that page from this machine, updated when the files change.",
    "get": "Write what podfence reads of a cluster, in a form that is safe to share.",
    "lab": "Enforce the policies in this machine's kernel and test them with real packets.",
    "agent": "Enforce the policies of a cluster on one of its nodes.",
    "mirror": "Serve the pods of a large cluster to its agents, in place of the API server.",
    "status": "Show how each node stands, and where a policy is in force.",
    "wait": "Wait until a policy is in force on every node.",
    "drops": "Show what was denied, and by which policy.",
    "rules": "Show which rules connections use, and which none does.",
    "schema": "Print the schema of what a command prints as JSON.",
    "completion": "Print a script that makes a shell complete commands and options.",
}
"""Command name -> one line of help, in the order of the help page."""

_RARELY_ASKED = ("inspect", "textwrap", "msgspec.inspect")
"""What msgspec imports, and no question asks."""

ALIASES = {"diff": "plan"}
"""Other names of commands; the help page does not repeat them."""

FIRST_STEPS = """podfence {version}: Kubernetes NetworkPolicy, known, tried and enforced.

Point it at a folder of manifests (nothing else is needed, no cluster):

  {program} map -f manifests/                         who can reach whom
  {program} can shop/web shop/db:5432 -f manifests/   yes or no, and which rule
  {program} why shop/web shop/db:5432 -f manifests/   every policy that decided
  {program} describe shop/db-allow -f manifests/      what one policy really does
  {program} find to shop/db -f manifests/             who reaches one thing, and by which rule
  {program} plan before/ after/                       what a change opens and closes
  {program} check -f manifests/                       what the API server would refuse
  {program} lab run -f manifests/                     real packets, real kernel, this machine

Without -f every command asks the cluster of kubectl's current context: {program} map -A
All commands: {program} --help
"""


INTERRUPTED = 128 + 2  # SIGINT; the module `signal` makes an enum of all of them
READER_GONE = 128 + 13  # SIGPIPE


class ReaderGone(Exception):
    """The reader of standard output (head, less) has closed it."""


class LazyGroup(click.Group):
    """Knows its commands by name; imports one only to run it or to show its help.

    ``lazy``: a command's name -> one line of help, in the order of the help page. ``module``: the
    module of a command, with ``{}`` for its name; its command object is called ``command``.
    """

    def __init__(self, *args: Any, lazy: Mapping[str, str], module: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self._lazy = lazy
        self._module = module

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All commands, in the order of the help page."""
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command."""
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in self._lazy:
            return None
        # Where it is installed, msgspec asks it for types of older Pythons, which nothing here has.
        with without("typing_extensions"), left_out(*_RARELY_ASKED):
            import_module("msgspec")
        found = import_module(self._module.format(cmd_name)).command
        return found if isinstance(found, click.Command) else None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. A closed standard output is handled here, because click would exit with
        status 1, which means "no"."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._lazy.items()))


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    module="podfence.cli.{}_command",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 yes or clean, 1 no or findings, 2 bad input or usage.",
)
@click.version_option(__version__, "--version", message="podfence %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Kubernetes NetworkPolicy: who can talk to whom, why, and real packets to prove it."""
    if context.invoked_subcommand is None:
        text = FIRST_STEPS.format(version=__version__, program=_program())
        click.echo(text, nl=False)


_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def main() -> NoReturn:
    """Run the command line and end the process at once. The interpreter would free every module and
    value one by one, which takes as long as a good part of a small command."""
    try:
        run()
    except SystemExit as end:
        if sys.gettrace() or sys.getprofile() or threading.active_count() > 1:
            raise  # somebody measures the process, or it is not done yet
        atexit._run_exitfuncs()
        with suppress(OSError, ValueError):
            sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else 1)


def run() -> NoReturn:
    """Run the command line; raises SystemExit with its status."""
    _tolerate_any_terminal()
    try:
        status = cli.main(prog_name=_program(), standalone_mode=False)
        sys.stdout.flush()
    except (click.exceptions.Abort, KeyboardInterrupt):
        _fail(INTERRUPTED, "interrupted")
    except click.ClickException as error:
        _usage(error)
    except (BrokenPipeError, ReaderGone):
        # Nothing is said; and the interpreter must not flush into the closed pipe once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(READER_GONE)
    except OSError as error:
        if error.errno not in _FULL:
            _failed(error)
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        _fail(2, f"error[PF004]: cannot write: {error.strerror}")
    except Exception as error:  # noqa: BLE001 - the last resort: a person never sees a traceback
        _failed(error)
    sys.exit(status if isinstance(status, int) else 0)


def _failed(error: Exception) -> NoReturn:
    # Imported here: help and usage need no value of podfence.
    from podfence.errors import PodfenceError

    if isinstance(error, PodfenceError):
        _fail(2, f"error[{error.code}]: {error.message}")
    if os.environ.get("PODFENCE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    _fail(
        2,
        f"error[PF000]: internal error ({type(error).__name__}: {error}); this is a bug in "
        "podfence. Run again with PODFENCE_DEBUG=1 and report what it prints.",
    )


def _program() -> str:
    """The name by which it was called: its own, or as a plugin of kubectl."""
    plugin = os.path.basename(sys.argv[0]).startswith("kubectl-")
    return "kubectl podfence" if plugin else "podfence"


def _tolerate_any_terminal() -> None:
    """Characters that the terminal's encoding lacks are written as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _usage(error: click.ClickException) -> NoReturn:
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None:
        _fail(2, f"error[PF001]: {error.format_message()}")
    help_page = context.get_help()
    if error.message == help_page:  # nothing after the name of a group of commands
        click.echo(help_page, err=True)
        sys.exit(2)
    click.echo(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.\n", err=True)
    _fail(2, f"error[PF001]: {_advice(error, context) or error.format_message()}")


def _advice(error: click.ClickException, context: click.Context) -> str:
    """What to write instead, if that is clear; otherwise ``""``."""
    takes_files = any(each.name == "paths" for each in context.command.params)
    if takes_files and error.message.startswith("Got unexpected extra argument"):
        from podfence.cli.inputs import path_without_option

        return path_without_option(context)
    unknown = re.match(_NO_COMMAND, error.message)
    if unknown and isinstance(context.command, click.Group):
        return _without_command(unknown[1], context.command.list_commands(context))
    return ""


_NO_COMMAND = r"(?s)No such command '(.*)'"


def _without_command(name: str, known: list[str]) -> str:
    from podfence.likeness import similar

    close = similar(name, known)
    what = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
    return f"no command is called {name!r}; {what}"


def _fail(status: int, message: str) -> NoReturn:
    from podfence.cli.terminal import echo
    from podfence.render.problems import message_text

    echo("\n".join(map(message_text, message.split("\n"))), err=True)
    sys.exit(status)
