"""``podfence rules``: which rules connections use, and which rules none uses."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Final

import click

from podfence.agent.fleet import NodeReply
from podfence.agent.localsocket import ask_rules, socket_name
from podfence.cli.agent_options import local_options
from podfence.cli.agents import AgentAccess, Agents, agents_options
from podfence.cli.common import output_option
from podfence.cli.terminal import echo
from podfence.drops.record import rfc3339
from podfence.kernel import netns
from podfence.kube.agents import RULES_PATH
from podfence.render.jsontext import json_text
from podfence.render.rules import rules_data, rules_notes, rules_text, unused_notes
from podfence.usage.record import NodeUsage
from podfence.usage.together import together

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_LONGEST: Final = 3650 * 86400
_DURATION: Final = re.compile(r"([1-9][0-9]{0,5})([smhdw])", re.ASCII)


def _duration(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Seconds."""
    if value is None:
        return None
    found = _DURATION.fullmatch(value)
    if found is None:
        message = f"{value!r} is not a duration; write a number and s, m, h, d or w, such as 30d"
        raise click.BadParameter(message, context, parameter)
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST:
        message = f"{value!r} is too long; the most is ten years (3650d)"
        raise click.BadParameter(message, context, parameter)
    return seconds


@click.command("rules")
@click.option(
    "--unused",
    metavar="TIME",
    callback=_duration,
    help="Only rules that were counted for this long (30d, 12h) without a connection.",
)
@click.option("-n", "--namespace", metavar="NAMESPACE", help="Only policies of this namespace.")
@output_option
@local_options
@agents_options
def command(
    unused: int | None,
    namespace: str | None,
    output: str,
    local: bool,
    run_dir: Path,
    namespace_file: Path | None,
    where: AgentAccess,
) -> int:
    """Show which rules are used: how many connections each has let pass, and when the last.

    The agents of all nodes are asked, as by podfence drops. They look at the connections that the
    kernel tracks, every ten seconds, so that no packet pays for it. All rules that fit a connection
    are used by it. A use is seen for certain; that a rule is unused is said for the time that it
    was counted, of the present revision of its policy, and of policies that select a pod somewhere;
    and of none while a node does not answer, which may have seen a use.

    Exit status 1: a node did not answer or does not look, or, with --unused, there are such rules.
    """
    number = netns.identity() if namespace_file is None else namespace_file.stat().st_ino
    is_named = bool(where.context or where.kubeconfig or where.direct)
    if local or namespace_file or (not is_named and (run_dir / socket_name(number)).exists()):
        answer = ask_rules(run_dir, number)
        told = [NodeReply(answer.node, answer)]
    else:
        with Agents(where) as agents:
            told = agents.ask(RULES_PATH, {"namespace": namespace} if namespace else {}, NodeUsage)
    return _show(told, unused, namespace, output)


def _show(
    told: list[NodeReply[NodeUsage]], unused: int | None, namespace: str | None, output: str
) -> int:
    found = together(each.answer for each in told if each.answer is not None)
    if namespace:
        found = [total for total in found if total.policy.rpartition("/")[0] == namespace]
    date = "" if unused is None else rfc3339(time.time() - unused)
    silent = sum(each.answer is None for each in told)
    shown = [t for t in found if not date or (t.unused_since(date) and not silent)]
    if output == "json":
        click.echo(json_text(rules_data(shown, told, date)))
    else:
        echo(rules_text(shown), nl=False)
        notes = unused_notes(found, told, date) if date else ()
        for line in (*rules_notes(told), *notes):
            echo(line, err=True)
    is_whole = bool(told) and all(each.answer and not each.answer.fault for each in told)
    return 0 if is_whole and not (date and shown) else 1
