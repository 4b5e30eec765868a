"""``podfence wait``: until a policy is in force on every node."""

from __future__ import annotations

import time
from collections.abc import Sequence

import click

from podfence.agent.fleet import NodeReply, is_there
from podfence.agent.nodereport import PolicyReport
from podfence.cli.agents import (
    AgentAccess,
    Agents,
    agents_options,
    condition_option,
    require_status,
)
from podfence.cli.common import output_option
from podfence.cli.optionvalues import Number
from podfence.cli.terminal import echo
from podfence.kube.agents import POLICY_PATH
from podfence.model.meta import ObjectRef, Revision

PAUSE = 0.5
"""Seconds between two rounds."""


@click.command("wait")
@click.argument("name", metavar="[NAMESPACE/][KIND/]POLICY")
@agents_options
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    help="The namespace of a policy given without one. Without it: that of the context.",
)
@click.option(
    "--timeout",
    type=Number(0, 86400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How many seconds to wait at most; 0: ask once.",
)
@condition_option
@output_option
def command(
    name: str,
    where: AgentAccess,
    namespace: str | None,
    timeout: float,
    condition: bool,
    output: str,
) -> int:
    """Wait until a policy, as the API server has it now, is in the kernel of every node.

    A later revision will do; another object of the same name will not. A node without an agent that
    answers is waited for. Exit status 0: in force everywhere; 1: not within the time, and the nodes
    that miss are printed; or the policy is audited, so it enforces nothing.
    """
    end = time.monotonic() + timeout
    with Agents(where) as agents:
        policy, revision = agents.policy(name, namespace)
        if condition:
            require_status(policy)
        query = {"kind": policy.kind, "namespace": policy.namespace, "name": policy.name}
        done: dict[str, NodeReply[PolicyReport]] = {}
        while True:
            told = agents.ask(POLICY_PATH, query, PolicyReport, frozenset(done))
            holding = {each.node: each for each in told if is_there(each, revision)}
            done.update(holding)
            missing = [each for each in told if each.node not in holding]
            is_last = time.monotonic() + PAUSE > end
            if (not missing and done) or is_last:
                break
            time.sleep(PAUSE)
        every = sorted((*done.values(), *missing), key=lambda each: each.node)
        _show(policy, revision, every, output)
        if condition:  # after the answer, which is not lost where this is refused
            agents.write_condition(policy, revision, every)
    return 0 if done and not missing and not revision.audited else 1


def _show(
    policy: ObjectRef, revision: Revision, every: Sequence[NodeReply[PolicyReport]], output: str
) -> None:
    if output == "json":
        from podfence.render.fleet_data import policy_data
        from podfence.render.jsontext import json_text

        click.echo(json_text(policy_data(policy, revision, every)))
    else:
        from podfence.render.fleet_text import waited_text

        echo(waited_text(policy, revision, every), nl=False)
