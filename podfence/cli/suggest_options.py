"""What ``podfence suggest`` is asked for beyond files and workloads, as words of a command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final

import click
from msgspec import Struct

from podfence.errors import QuestionError
from podfence.likeness import similar
from podfence.manifests.load import Loaded
from podfence.questions.lint.note_elsewhere import CHANGING
from podfence.questions.suggest.rules import OutsidePeers

_WIDTH: Final = re.compile(r"/(\d{1,3})\Z", re.ASCII)
_WIDEST: Final = {4: 8, 6: 33}
_USUAL: Final = {4: 32, 6: 64}
"""Widths of the IP version that is not named: IPv4 addresses stay, IPv6 ones are of one link."""


class SuggestWords(Struct, frozen=True):
    """``group``: a key of labels, "" for a policy a workload. ``least``: flows that make evidence.
    ``widths``: as of ``SuggestOptions``; ``unresolved``: every flow that could not be resolved is
    named."""

    group: str
    least: int
    widths: Mapping[int, int] | None
    outside: OutsidePeers | None
    against: bool
    unresolved: bool

    def where(self, *, is_written: bool) -> OutsidePeers:
        """What is written for addresses outside. ``is_written``: a person wrote down which are
        needed, in tests."""
        return self.outside or (OutsidePeers.ADDRESSES if is_written else OutsidePeers.LEAVE)


def suggest_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options, as the parameter ``words``."""

    @click.option(
        "--outside",
        type=click.Choice([each.value for each in OutsidePeers]),
        help="Rules for nodes and for addresses outside the cluster: none (a direction with such "
        "connections stays as it is), the addresses that were seen, or every address. Without it: "
        f"{OutsidePeers.LEAVE.value}, and with --from-tests {OutsidePeers.ADDRESSES.value}.",
    )
    @click.option(
        "--wide-outside",
        "wide",
        metavar="/N[,/N]",
        help="Where a rule would name more than 8 blocks outside, join them to blocks of at most "
        "this width (/24; for IPv6 /64 without a second one); implies --outside addresses.",
    )
    @click.option(
        "--group",
        metavar="workload|label:KEY",
        default="workload",
        show_default=True,
        help="One policy for each workload, or for all workloads of a namespace with the same "
        "value of a label; peers likewise.",
    )
    @click.option(
        "--min-count",
        "least",
        type=click.IntRange(min=1),
        default=1,
        metavar="N",
        help="Ignore connections that were seen fewer than N times. Without it: 1.",
    )
    @click.option(
        "--against",
        is_flag=True,
        help="Also compare with the policies that exist: which of their rules no record used, and "
        "what closes, line by line.",
    )
    @click.option(
        "--unplaced",
        "unresolved",
        is_flag=True,
        help="List every record with an unknown end.",
    )
    @wraps(function)
    def command(
        *args: Any,
        outside: str | None,
        wide: str | None,
        group: str,
        least: int,
        against: bool,
        unresolved: bool,
        **others: Any,
    ) -> Any:
        widths = _widths(wide) if wide is not None else None
        if widths is not None and outside not in (None, OutsidePeers.ADDRESSES.value):
            raise click.UsageError(f"--wide-outside is about addresses; drop --outside {outside}")
        usual = None if widths is None else OutsidePeers.ADDRESSES
        where = usual if outside is None else OutsidePeers(outside)
        words = SuggestWords(_key(group), least, widths, where, against, unresolved)
        return function(*args, words=words, **others)

    return command


def _key(word: str) -> str:
    if word == "workload":
        return ""
    kind, colon, key = word.partition(":")
    if kind != "label" or not colon or not key:
        raise click.UsageError(f"--group {word}: write workload or label:KEY")
    if key in CHANGING:
        raise click.UsageError(f"--group {word}: this label {CHANGING[key]}")
    return key


def _widths(word: str) -> Mapping[int, int]:
    found: dict[int, int] = {}
    for part in word.split(","):
        match = _WIDTH.match(part)
        number = int(match[1]) if match else -1
        version = 4 if number <= 32 else 6
        if not _WIDEST[version] <= number <= 128 or version in found:
            raise click.UsageError(
                f"--wide-outside {word}: write /8 to /32 for IPv4, /33 to /128 for IPv6, as in "
                "/24,/64"
            )
        found[version] = number
    return _USUAL | found


def require_label(loaded: Loaded, key: str) -> None:
    """Raises QuestionError where no pod has a label of this key."""
    if not key:
        return
    known = {name for pod in loaded.cluster.pods for name, _ in pod.labels}
    if key not in known:
        near = similar(key, known)
        guess = f"; did you mean {near[0]}?" if near else ""
        raise QuestionError(f"no pod has a label {key}{guess}")
