"""``podfence status``: how each node stands, and where a policy is in force."""

from __future__ import annotations

import click

from podfence.agent.fleet import EnforcementState, is_well, standing
from podfence.agent.nodereport import NodeReport, PolicyReport
from podfence.cli.agents import (
    AgentAccess,
    Agents,
    agents_options,
    condition_option,
    require_status,
)
from podfence.cli.common import output_option
from podfence.cli.terminal import echo
from podfence.kube.agents import POLICY_PATH, STATUS_PATH


@click.command("status")
@click.argument("name", metavar="[[NAMESPACE/][KIND/]POLICY]", required=False)
@agents_options
@click.option(
    "-n",
    "--namespace",
    metavar="NAME",
    help="The namespace of a policy given without one. Without it: that of the context.",
)
@condition_option
@output_option
def command(
    name: str | None, where: AgentAccess, namespace: str | None, condition: bool, output: str
) -> int:
    """Ask the agent of each node how it stands, or where a policy is in force.

    Without POLICY a line a node: whether everything is listed and enforced, the epoch of its rules,
    its pods, those that wait for an address, those that are closed, objects that cannot be read,
    and for how long the API server has said nothing. With one, whether the revision that the API
    server has now is in the node's kernel, and how many pods of the node it selects.

    Exit status 0: every node is in sync and nothing is wrong, or the policy is in force everywhere;
    1: not so, or a node has no agent that answers, or the policy is audited: it enforces nothing.
    """
    with Agents(where) as agents:
        if name is not None:
            return _policy(agents, name, namespace, output, condition=condition)
        if condition:
            raise click.UsageError("--condition goes with the name of a policy")
        return _nodes(agents, output)


def _nodes(agents: Agents, output: str) -> int:
    told = agents.ask(STATUS_PATH, {}, NodeReport)
    if output == "json":
        from podfence.render.fleet_data import nodes_data
        from podfence.render.jsontext import json_text

        click.echo(json_text(nodes_data(told)))
    else:
        from podfence.render.fleet_text import nodes_text

        echo(nodes_text(told), nl=False)
    return 0 if told and all(map(is_well, told)) else 1


def _policy(
    agents: Agents, name: str, namespace: str | None, output: str, *, condition: bool
) -> int:
    policy, revision = agents.policy(name, namespace)
    if condition:
        require_status(policy)
    query = {"kind": policy.kind, "namespace": policy.namespace, "name": policy.name}
    told = agents.ask(POLICY_PATH, query, PolicyReport)
    if output == "json":
        from podfence.render.fleet_data import policy_data
        from podfence.render.jsontext import json_text

        click.echo(json_text(policy_data(policy, revision, told)))
    else:
        from podfence.render.fleet_text import policy_text

        echo(policy_text(policy, revision, told), nl=False)
    if condition:  # after the answer, which is not lost where this is refused
        agents.write_condition(policy, revision, told)
    holds = all(standing(each, revision) is EnforcementState.IN_FORCE for each in told)
    return 0 if told and holds else 1
