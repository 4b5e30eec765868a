"""What commands report beside verdicts: ways in from outside, and policies of other APIs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from msgspec import Struct

from podfence.cli.terminal import echo
from podfence.errors import PodfenceError
from podfence.manifests.load import Loaded
from podfence.policy.index import PolicyIndex
from podfence.questions.phrases.words import some
from podfence.questions.unjudged import UNTOUCHED, TouchedPods, said_of
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.errors import Locate
    from podfence.model.entries import Controllers, Entries
    from podfence.questions.entryrows import EntryRow
    from podfence.questions.tests.throughentries import KnownEntries

_NAMED = 3
_SHOWN = 20
"""Ways in that a page names above its map."""


class EntrySection(Struct, frozen=True):
    """Ways in from outside, as the end of a map."""

    rows: tuple[EntryRow, ...]
    locate: Locate
    touched: TouchedPods

    def text(self) -> str:
        """A table under the map; "" where there are none."""
        if not self.rows:
            return ""
        from podfence.render.entries import entries_text

        return f"\n{entries_text(self.rows, self.locate, self.touched)}"

    def data(self) -> list[dict[str, object]] | None:
        """The same as data; None where there are none."""
        if not self.rows:
            return None
        from podfence.render.entries import entries_data

        return entries_data(self.rows, self.locate)


def map_remarks(loaded: Loaded, index: PolicyIndex) -> tuple[str, ...]:
    """Remarks of a page about its map: pods that other policies may touch, and the ways in."""
    from podfence.render.entries import entry_lines

    said = said_of(touched_pods(loaded, index))
    lines = list(entry_lines(entry_rows(loaded, index)))
    more = [f"{len(lines) - _SHOWN} more ways in: podfence find exposed"]
    return (*([said] if said else []), *lines[:_SHOWN], *(more if len(lines) > _SHOWN else ()))


def touched_pods(loaded: Loaded, index: PolicyIndex) -> TouchedPods:
    """The pods that policies of other APIs may touch."""
    if not loaded.beside.has_policies:
        return UNTOUCHED
    return TouchedPods.of(index, loaded.beside.foreign)


def say_unjudged(
    loaded: Loaded, index: PolicyIndex, pods: Iterable[str], *, strict: bool = False
) -> None:
    """Say on standard error that policies of other APIs may decide about these pods too. Raises
    PodfenceError where the question is ``strict``: then there is no answer."""
    touched = touched_pods(loaded, index)
    for pod in dict.fromkeys(pods):
        if said := touched.words([pod]):
            text = f"{printable(said)} may decide about {printable(pod)} too, and is not judged"
            if strict:
                raise PodfenceError(f"no answer: {text}", code="PF113")
            echo(f"note: {text}", err=True)


def is_unsure(touched: TouchedPods, pods: Iterable[str]) -> bool:
    """Whether policies of other APIs may decide about some of these pods too, which is said on
    standard error."""
    hit = sorted({pod for pod in pods if touched.any([pod])})
    if hit:
        named = printable(some(hit, _NAMED))
        said = f"{printable(touched.words(hit))} may decide about {named} too"
        echo(f"error[PF113]: not certain: {said}, and is not judged", err=True)
    return bool(hit)


def entry_rows(
    loaded: Loaded, index: PolicyIndex, only: Callable[[Entries], Entries] = lambda every: every
) -> tuple[EntryRow, ...]:
    """Every way in from outside with who can use it, by the settings of ``podfence.toml``.
    ``only``: which are judged. Raises PodfenceError for settings that cannot be used."""
    from podfence.cli.settings import read_settings
    from podfence.questions.entries import judge_entries

    entries = only(loaded.beside.entries(loaded.cluster, loaded.raw))
    if not entries.entries:
        return ()
    return judge_entries(index, entries, read_settings(None, none=False).cluster.controllers)


def known_entries(loaded: Loaded, controllers: Controllers | None = None) -> KnownEntries:
    """The ways in from outside for tests. ``controllers``: as the settings say; None: as the
    nearest ``podfence.toml`` does."""
    from podfence.cli.settings import read_settings
    from podfence.questions.tests.throughentries import KnownEntries

    if controllers is None:
        controllers = read_settings(None, none=False).cluster.controllers
    return KnownEntries(loaded.beside.entries(loaded.cluster, loaded.raw), controllers)
