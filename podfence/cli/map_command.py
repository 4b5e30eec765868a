"""``podfence map``: who can reach whom."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Set
from typing import TYPE_CHECKING

import click

from podfence.cli.allcontexts import each_context
from podfence.cli.beside import EntrySection, entry_rows, is_unsure, touched_pods
from podfence.cli.common import (
    asking,
    keep_going_option,
    known_namespaces,
    lacks_input,
    load_cluster,
    read_names,
    resolve_option,
    strict_option,
    without_verdict,
)
from podfence.cli.inputs import (
    Inputs,
    all_namespaces_option,
    input_options,
    pair_namespaces_option,
)
from podfence.cli.terminal import echo, width_of
from podfence.manifests.load import Loaded
from podfence.policy.compile import compile_cluster
from podfence.policy.index import PolicyIndex
from podfence.questions.certainty import Certainty
from podfence.questions.connectivity import Connectivity, connectivity
from podfence.questions.dns import map_notes
from podfence.questions.phrases.words import count, some
from podfence.questions.selecting import audit_notes
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.questions.entryrows import EntryRow

SHOWN_PODS = 5
FORMATS = ("table", "wide", "matrix", "json", "csv", "dot", "mermaid", "svg")


@click.command("map")
@each_context
@input_options
@click.option(
    "-o",
    "--output",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Text (wide names every source), data, a graph for Graphviz or Mermaid, or a picture.",
)
@click.option("--to", "to", metavar="END", help="Only connections to this end.")
@click.option("--from", "source", metavar="END", help="Only connections from this end.")
@click.option(
    "--port",
    "port",
    metavar="PORT",
    help=("Only this port: 5432, 53/udp, 9100-9110, or the name of a port."),
)
@click.option(
    "--entries",
    is_flag=True,
    help="Also show the ways in from outside: Ingress, routes, Services and ports of nodes, each "
    "with who can come in (-o table, wide, json; wide always shows them).",
)
@pair_namespaces_option
@all_namespaces_option
@resolve_option
@keep_going_option
@strict_option
def command(
    inputs: Inputs,
    output: str,
    to: str | None,
    source: str | None,
    port: str | None,
    entries: bool,
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    resolve: str | None,
    keep_going: bool,
    strict: bool,
) -> int:
    """Show who can reach whom, on which ports.

    Pods are grouped by workload, addresses outside the cluster by what may connect to and from
    them. A pod can always reach itself, and a node the pods that run on it; the map does not
    repeat that. Ends of --to and --from are written as for `podfence find`.
    """
    names = read_names(resolve, *inputs.paths)
    if entries and output not in ("table", "wide", "json"):
        raise click.UsageError(f"-o {output} shows no entries; use table, wide or json")
    scope = inputs.scope(namespaces, everything=all_namespaces)
    loaded = load_cluster(inputs, scope)
    with asking(loaded, inputs):
        known_namespaces(loaded, scope)
    if emptiness := _emptiness(loaded, scope):
        echo(printable(emptiness), err=True)
    index = compile_cluster(loaded.cluster, names)
    without = Certainty(index).open_pods()
    for note in (*map_notes(index), *audit_notes(index)):
        echo(f"note: {printable(note)}", err=True)
    touched = touched_pods(loaded, index)
    answer = connectivity(index, without, frozenset(scope), touched)
    if to is not None or source is not None or port is not None:
        from podfence.cli.ends import narrowed_map

        with asking(loaded, inputs):
            answer = narrowed_map(answer, index, (source, to, port), inputs)
    rows = _entries(loaded, index, scope) if entries or output == "wide" else ()
    for piece in _render(answer, output, EntrySection(rows, loaded.locate, touched)):
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()
    if loaded.doubts:
        severity = "warning" if keep_going else "error"
        echo(f"{severity}[PF007]: {_left_out(loaded, without)}", err=True)
    shown = (pod for pod in index.endpoints if not scope or pod.partition("/")[0] in scope)
    if strict and is_unsure(touched, shown):
        return 2
    return 2 if lacks_input(loaded, keep_going=keep_going) else 0


def _entries(loaded: Loaded, index: PolicyIndex, scope: tuple[str, ...]) -> tuple[EntryRow, ...]:
    """The ways in from outside to these namespaces; () stands for all."""
    rows = entry_rows(loaded, index)
    return tuple(row for row in rows if not scope or row.entry.ref.namespace in scope)


def _left_out(loaded: Loaded, without: Set[str]) -> str:
    """The pods that the map leaves out, and the unreadable objects that cause it."""
    pods = f"{count(len(without), 'pod')} ({printable(some(sorted(without), SHOWN_PODS))})"
    what = f"the map leaves out {pods}: " if without else ""
    return f"{what}{without_verdict(loaded, loaded.doubts)}"


def _emptiness(loaded: Loaded, scope: tuple[str, ...]) -> str:
    """Why a map is empty; "" if it is not."""
    if not loaded.cluster.pods:
        what = "cluster" if loaded.live else "input"
        return f"the {what} holds no pods and no workloads, so the map is empty"
    inhabited = {pod.namespace for pod in loaded.cluster.pods}
    if loaded.live and not inhabited.intersection(scope or inhabited):
        return (
            f"there is no pod in namespace {', '.join(scope)}; use -A for all namespaces, or -n "
            f"with {some(sorted(inhabited), SHOWN_PODS)}"
        )
    return ""


def _render(answer: Connectivity, output: str, ways: EntrySection) -> Iterable[bytes]:
    from podfence.render import map_data, map_table

    if output in ("dot", "mermaid", "svg"):
        return _drawn(answer, output)
    if output == "json":
        return map_data.map_json(answer, ways.data())
    if output == "matrix":
        return [map_table.render_matrix(answer).encode()]
    if output in ("table", "wide"):
        width = width_of(sys.stdout)
        text = map_table.render_table(answer, wide=output == "wide", width=width)
        return [f"{text}{ways.text()}".encode()]
    return (piece.encode() for piece in map_data.map_csv(answer))


def _drawn(answer: Connectivity, output: str) -> Iterator[bytes]:
    """A graph or a picture; its limits are reported afterwards."""
    from podfence.render.map_graphs import Graph, advice
    from podfence.render.map_svg import folding, pictured, svg

    if output == "svg":
        picture = pictured(answer)
        yield from (piece.encode() for piece in svg(picture))
        said = folding(picture)
    else:
        graph = Graph(answer)
        yield from (
            piece.encode() for piece in (graph.dot() if output == "dot" else graph.mermaid())
        )
        said = advice(graph.edges, mermaid=output == "mermaid")
    if said:
        echo(f"note: {said}", err=True)
