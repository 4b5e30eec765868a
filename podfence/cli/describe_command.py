"""``podfence describe``: what one policy really does."""

from __future__ import annotations

from collections.abc import Callable

import click

from podfence.cli.common import (
    files_option,
    keep_going_option,
    known_namespaces,
    load_cluster,
    namespace_option,
)
from podfence.edge.load import Loaded
from podfence.errors import Source, UnknownObject
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import compile_cluster
from podfence.questions.describe import describe
from podfence.questions.notes import notes_for
from podfence.render.describe import render_description
from podfence.render.safe import printable


@click.command("describe")
@click.argument("policy", metavar="[NAMESPACE/]POLICY", required=False)
@files_option
@namespace_option
@keep_going_option
def command(
    policy: str | None, paths: tuple[str, ...], namespace: str | None, keep_going: bool
) -> int:
    """Say in plain sentences what a policy does, and to which pods right now.

    Without POLICY every policy of the input is described. Notes at the end tell where a policy does
    something else than its name or its shape suggests.
    """
    loaded = load_cluster(paths, keep_going=keep_going)
    wanted = _wanted(loaded, policy, namespace)
    index = compile_cluster(loaded.cluster)
    place = _place(loaded)
    texts = (
        render_description(
            describe(index, one), place, notes_for(index, one, loaded.raw(one.source))
        )
        for one in wanted
    )
    click.echo("\n".join(texts), nl=False)
    return 2 if loaded.errors and not keep_going else 0


def _wanted(loaded: Loaded, name: str | None, namespace: str | None) -> list[NetworkPolicy]:
    policies = loaded.cluster.policies
    if namespace is not None:
        known_namespaces(loaded, [namespace])
    if name is None:
        found = [p for p in policies if namespace in (None, p.ref.namespace)]
        if not found:
            where = f"namespace {namespace!r}" if namespace else "the input"
            raise UnknownObject(f"there is no NetworkPolicy in {where}")
        return found
    full = name if "/" in name else f"{namespace}/{name}" if namespace else ""
    found = [p for p in policies if (str(p.ref) == full if full else p.ref.name == name)]
    if len(found) == 1:
        return found
    if not found:
        known = ", ".join(printable(str(p.ref)) for p in policies[:10])
        raise UnknownObject(
            f"no NetworkPolicy is called {name!r}; the input has: {known or 'none'}"
        )
    names = ", ".join(printable(str(p.ref)) for p in found)
    raise UnknownObject(f"{name!r} is in several namespaces: {names}; say which")


def _place(loaded: Loaded) -> Callable[[Source | None, str], str]:
    def place(source: Source | None, path: str) -> str:
        position = loaded.locate(source, path)
        return "" if position is None else str(position)

    return place
