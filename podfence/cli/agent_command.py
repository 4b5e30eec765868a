"""``podfence agent``: the policies of a cluster, enforced on one of its nodes.

Rule: each command of the group is imported when it is called, and so is the agent itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from podfence.cli.agent_options import (
    addresses,
    http_options,
    mark_option,
    mirror_options,
    netns_option,
    node_option,
    opened,
    ranges_option,
    run_dir_option,
    state_dir_option,
)
from podfence.cli.main import LazyGroup

if TYPE_CHECKING:
    from podfence.agent.mirrored import MirrorAddress
    from podfence.sets.addresses import IPAddress, IPNetwork

COMMANDS = {
    "render": "Print the nftables rules that a node would get.",
    "cleanup": "Remove what the agent enforces on this node: afterwards everything passes.",
}
"""Command name -> one line of help, in the order of the help page."""


@click.group(
    "agent",
    cls=LazyGroup,
    lazy=COMMANDS,
    module="podfence.cli.agent_{}",
    invoke_without_command=True,
)
@node_option("The Node object of this node; else $NODE_NAME.")
@click.option(
    "--kubeconfig",
    metavar="FILE",
    help=("The kubeconfig. Without it: as for kubectl, otherwise the service account of the pod."),
)
@click.option(
    "--context", "cluster", default="", metavar="NAME", help="The context of the kubeconfig."
)
@ranges_option
@run_dir_option("The folder of the lock that allows one agent per node.")
@state_dir_option(
    "Where the counts of podfence rules are kept, in a folder named after the node, so that they "
    "survive a reboot."
)
@http_options(9740)
@click.option(
    "--https-address",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address where podfence status asks this agent, with a token that the API server "
    "accepts.",
)
@click.option(
    "--https-port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    help="The port of that address, by default 9741; 0: none.",
)
@click.option(
    "--nri",
    type=click.Path(path_type=Path),
    metavar="SOCKET",
    help="The container runtime's NRI socket. With it, the start of a pod waits until its rules "
    "are there, at most one second. Without it, a pod that starts early is closed until then.",
)
@mirror_options
@click.option(
    "--override",
    multiple=True,
    metavar="NAME",
    help="Start although this is in the way; the message that refuses to start names it. "
    "Repeatable.",
)
@click.option(
    "--resolver",
    "resolvers",
    callback=addresses,
    multiple=True,
    metavar="ADDRESS",
    help="A DNS server whose answers about domainNames are trusted, in addition to the pods of "
    "kube-system with the label k8s-app=kube-dns. Repeatable. Without it: the servers of "
    "/etc/resolv.conf.",
)
@mark_option
@netns_option
@click.pass_context
def command(
    context: click.Context,
    node: str | None,
    kubeconfig: str | None,
    cluster: str,
    ranges: tuple[IPNetwork, ...],
    run_dir: Path,
    state_dir: Path,
    http_address: str,
    http_port: int,
    https_address: str,
    https_port: int,
    nri: Path | None,
    mirror: MirrorAddress | None,
    override: tuple[str, ...],
    resolvers: tuple[IPAddress, ...],
    mark_mask: int,
    netns: Path | None,
) -> None:
    """Enforce the policies of a cluster on one of its nodes, until SIGTERM.

    What is enforced stays when the agent ends; `podfence agent cleanup` removes it. Needs
    CAP_NET_ADMIN in the node's network namespace. Logs are lines of JSON on standard error.
    """
    if context.invoked_subcommand is not None:
        return
    if not node:
        raise click.UsageError("the name of this node is unknown: give --node or set NODE_NAME")
    from podfence.agent import main
    from podfence.agent.listening import Listen
    from podfence.agent.log import EventLog
    from podfence.agent.resolvers import OwnNameservers
    from podfence.kube.source import find_access
    from podfence.nft.lowering.lower import LocalNode

    given = frozenset((each.version, int(each)) for each in resolvers)
    options = main.Options(
        LocalNode(node, pod_cidrs=ranges, mark_mask=mark_mask),
        find_access(cluster, kubeconfig, os.environ),
        run_dir,
        state_dir,
        opened(netns),
        listen=Listen(http_address, http_port) if http_port else None,
        https=Listen(https_address, https_port) if https_port else None,
        override=frozenset(override),
        nri=nri,
        resolvers=(lambda: given) if given else OwnNameservers(),
        mirror=mirror,
    )
    sys.exit(main.run(options, EventLog(sys.stderr)))
