"""``podfence agent render``: the rules that the kernel of a node would get, for people to read."""

from __future__ import annotations

from collections.abc import Sequence

import click

from podfence.cli.agent_options import ranges_option
from podfence.cli.common import (
    load_cluster,
    output_option,
    read_names,
    resolve_option,
    without_verdict,
)
from podfence.cli.inputs import Inputs, input_options
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError, UnknownObject
from podfence.likeness import similar
from podfence.manifests.load import Loaded
from podfence.model.cluster import Cluster
from podfence.model.objects import Node
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.render import render
from podfence.policy.compile import compile_cluster
from podfence.questions.phrases.words import some
from podfence.render.jsontext import json_text
from podfence.render.ruleset import ruleset_data
from podfence.sets.addresses import IPNetwork
from podfence.text import printable

SHOWN_NODES = 10


@click.command("render")
@click.option("--node", "name", required=True, metavar="NAME", help="The node.")
@input_options
@ranges_option
@resolve_option
@output_option
def command(
    name: str, inputs: Inputs, ranges: tuple[IPNetwork, ...], resolve: str | None, output: str
) -> int:
    """Print the nftables rules that a node would get.

    The node is one of the input: a Node object, or what some pod names in spec.nodeName. Pods that
    are on no node yet are in nobody's rules. The text is one transaction that `nft -f -` reads; it
    puts the whole table in place of what is there.
    """
    names = read_names(resolve, *inputs.paths)
    loaded = load_cluster(inputs)
    if loaded.doubts:
        said = without_verdict(loaded, loaded.doubts)
        raise PodfenceError(f"no rules: {said}", code="PF007")
    local = _local_node(loaded, name, ranges)
    _remarks(loaded.cluster, local)
    ruleset = lower(compile_cluster(loaded.cluster, names), local)
    if output == "json":
        click.echo(json_text(ruleset_data(local, ruleset)))
    else:
        click.echo(render(ruleset), nl=False)
    return 0


def _local_node(loaded: Loaded, name: str, ranges: Sequence[IPNetwork]) -> LocalNode:
    cluster = loaded.cluster
    here = [pod for pod in cluster.pods if pod.node == name]
    if name not in cluster.nodes and not here:
        raise UnknownObject(_unknown(loaded, name))
    judged = (pod for pod in here if pod.is_seen)
    node = cluster.nodes.get(name, Node(name))
    return LocalNode(
        name,
        pods=frozenset(f"{pod.namespace}/{pod.name}" for pod in judged),
        pod_cidrs=tuple(ranges) or node.pod_cidrs,
        addresses=frozenset(node.addresses),
    )


def _unknown(loaded: Loaded, name: str) -> str:
    cluster, what = loaded.cluster, "cluster" if loaded.live else "input"
    names = {*cluster.nodes, *(pod.node for pod in cluster.pods if pod.node)}
    known = [printable(each) for each in sorted(names)]
    if not known:
        return (
            f"there is no node {name!r}: no object of the {what} names a node; add Node objects, "
            "or spec.nodeName to pods"
        )
    close = similar(name, known)
    guess = f"; did you mean {close[0]}?" if close else ""
    return f"there is no node {name!r}; the {what} has: {some(known, SHOWN_NODES)}{guess}"


def _remarks(cluster: Cluster, local: LocalNode) -> None:
    """What is missing from the rules, on standard error."""
    free = sum(not pod.node and not pod.finished for pod in cluster.pods)
    if free:
        pods = "1 pod is" if free == 1 else f"{free} pods are"
        echo(f"note: {pods} on no node, and so in the rules of no node", err=True)
    if not local.pod_cidrs:
        echo(
            f"warning: the pod range of node {printable(local.name)} is unknown, so a new pod is "
            "not closed until its address is known; use --pod-cidr, or give its Node object "
            "spec.podCIDRs",
            err=True,
        )
