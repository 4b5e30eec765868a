"""``podfence why``: every policy that decided or came near."""

from __future__ import annotations

import click

from podfence.cli.allcontexts import each_context
from podfence.cli.common import (
    asking,
    load_cluster,
    output_option,
    read_names,
    require_certain,
    resolve_option,
    strict_option,
)
from podfence.cli.inputs import Inputs, input_options, namespace_option
from podfence.cli.targets import namespaces_of, policies_of, question
from podfence.cli.terminal import echo
from podfence.questions.can import asker_of
from podfence.questions.entrynames import entry_meant, is_entry
from podfence.questions.why import why
from podfence.render.jsontext import json_text
from podfence.render.verdicts import VerdictEncoder, why_text


@click.command("why")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST:PORT[/PROTO]", required=False)
@each_context
@input_options
@namespace_option
@output_option
@click.option(
    "--repair",
    is_flag=True,
    help="Where it is denied: the smallest edit that allows it, and all that the edit opens.",
)
@resolve_option
@strict_option
def command(
    source: str,
    target: str | None,
    inputs: Inputs,
    namespace: str | None,
    output: str,
    repair: bool,
    resolve: str | None,
    strict: bool,
) -> int:
    """Explain whether SRC can reach DST on PORT: both directions, every policy, every rule.

    Exit status 0 when it can, 1 when it cannot. Names as for `podfence can`.

    SRC may be a way in from outside, as `find exposed` lists them: entry/ingress/shop/front. DST
    then narrows the answer to these pods behind it. Exit status 2: whether somebody can come in is
    unknown.
    """
    space = inputs.namespace_of_names(namespace)
    names = read_names(resolve, *inputs.paths)
    if is_entry(source):
        from podfence.cli.entries import answer_entry

        if repair:
            raise click.UsageError("--repair takes the pod that sends, and DST:PORT, not an entry")
        asked_of = (source, target, inputs, space, names, output)
        return answer_entry(*asked_of, explains=True, strict=strict)
    if target is None:
        entry = entry_meant(source)
        hint = (
            f"did you mean {entry}?" if entry else "for example: podfence why shop/web shop/db:80"
        )
        raise click.UsageError(f"DST:PORT is missing; {hint}")
    asked = question(source, target, space)
    policies = None if repair else policies_of(asked)
    loaded = load_cluster(inputs, namespaces_of(asked), policies)
    with asking(loaded, inputs):
        asker = asker_of(loaded.cluster, names, asked, explains=True)
        answer = why(asker, asked)
    require_certain(loaded, answer.can)
    if loaded.beside.has_policies:
        from podfence.cli.beside import say_unjudged

        pods = (pod for case in answer.can.cases for pod in case.pods)
        say_unjudged(loaded, asker.index, pods, strict=strict)
    edits = None
    if repair and not answer.can.allowed:
        from podfence.cli.lookups import proposal

        edits = proposal(loaded, names, asked)
    if output == "json":
        data = VerdictEncoder(loaded.locate).why(answer)
        if edits is not None:
            from podfence.render.repair import repair_data

            data["repair"] = repair_data(edits)
        click.echo(json_text(data))
    else:
        echo(why_text(answer, loaded.locate), nl=False)
        if edits is not None:
            from podfence.render.repair import repair_text

            echo(repair_text(edits), nl=False)
    return 0 if answer.can.allowed else 1
