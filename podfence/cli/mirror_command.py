"""``podfence mirror``: serves the pods of a cluster to agents in place of the API server.

Rule: each command of the group is imported when it is called, and so is the mirror itself.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from podfence.cli.agent_options import http_options
from podfence.cli.main import LazyGroup

COMMANDS = {
    "certificate": "Print a Secret with a certificate for mirrors.",
}
"""Command name -> one line of help, in the order of the help page."""


@click.group(
    "mirror",
    cls=LazyGroup,
    lazy=COMMANDS,
    module="podfence.cli.mirror_{}",
    invoke_without_command=True,
)
@click.option(
    "--kubeconfig",
    metavar="FILE",
    help=("The kubeconfig. Without it: as for kubectl, otherwise the service account of the pod."),
)
@click.option(
    "--context", "cluster", default="", metavar="NAME", help="The context of the kubeconfig."
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="The folder with tls.crt and tls.key, as a Secret is mounted.",
)
@click.option(
    "--address",
    default="127.0.0.1",
    show_default=True,
    metavar="ADDRESS",
    help="The address where agents are answered, over TLS and only if they are authorized.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=9742,
    show_default=True,
    help=("The port of that address."),
)
@http_options(9743)
@click.option(
    "--agents",
    type=click.IntRange(1),
    default=4000,
    show_default=True,
    metavar="NUMBER",
    help="The most agents that may be connected; others have to ask another mirror.",
)
@click.pass_context
def command(
    context: click.Context,
    kubeconfig: str | None,
    cluster: str,
    certificate: Path | None,
    address: str,
    port: int,
    http_address: str,
    http_port: int,
    agents: int,
) -> None:
    """Tell agents the pods of a cluster in place of the API server, until SIGTERM.

    For clusters of more than some hundred nodes. A mirror keeps nothing and writes nothing; any
    number of them may run, and agents go from one to another. Logs are lines of JSON on standard
    error.
    """
    if context.invoked_subcommand is not None:
        return
    if certificate is None:
        raise click.UsageError(
            "agents verify the certificate of the mirror: give --certificate; podfence mirror "
            "certificate makes a Secret with one"
        )
    from podfence.agent.listening import Listen
    from podfence.agent.log import EventLog
    from podfence.kube.source import find_access
    from podfence.mirror import main

    options = main.MirrorOptions(
        find_access(cluster, kubeconfig, os.environ),
        certificate,
        Listen(address, port),
        Listen(http_address, http_port) if http_port else None,
        agents,
    )
    sys.exit(main.run(options, EventLog(sys.stderr)))
