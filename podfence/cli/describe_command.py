"""``podfence describe``: what one policy really does, in sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from podfence.admission.kinds import POLICY_KINDS
from podfence.cli.allcontexts import each_context
from podfence.cli.common import (
    asking,
    has_errors,
    keep_going_option,
    known_namespaces,
    lacks_files,
    load_cluster,
    output_option,
    read_names,
    resolve_option,
    without_verdict,
)
from podfence.cli.inputs import Inputs, all_namespaces_option, input_options, namespace_option
from podfence.cli.policynames import is_called, wanted_policies
from podfence.cli.targets import qualified
from podfence.errors import PodfenceError, Source, UnknownObject, UnreadObject
from podfence.manifests.load import Loaded
from podfence.model.cluster import Policy
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.meta import ObjectRef
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import audit_of, compile_cluster
from podfence.policy.domains import DomainTable
from podfence.policy.index import PolicyIndex
from podfence.questions.certainty import Certainty
from podfence.questions.describe import describe
from podfence.questions.describe_tiers import describe_tier_policy
from podfence.questions.entrynames import entry_meant, is_entry
from podfence.questions.lint.note import WrittenObjects
from podfence.questions.lint.notes import notes_for
from podfence.questions.lint.tiers import tier_findings
from podfence.questions.parties import Party, PartyLookup, unread
from podfence.questions.phrases.tierwords import policy_name
from podfence.questions.selecting import SelectingPolicies, selecting
from podfence.render.describe import render_description, render_tier_description
from podfence.render.jsontext import json_text
from podfence.render.selection import render_selection, selection_data
from podfence.text import printable

AUDITED = """{} is audited: it enforces nothing. If it were enforced, it would do this:
"""


@click.command("describe")
@click.argument("name", metavar="[NAMESPACE/][KIND/]NAME", required=False)
@each_context
@input_options
@namespace_option
@all_namespaces_option
@output_option
@resolve_option
@keep_going_option
def command(
    name: str | None,
    inputs: Inputs,
    namespace: str | None,
    all_namespaces: bool,
    output: str,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Say in plain sentences what a policy does, and to which pods right now.

    NAME is a policy, or a workload or pod, for which the policies that select it are listed. Where
    both have the name, the policy is meant; a kind tells them apart (netpol/db, sts/db). Policies
    of the Admin and Baseline tiers have no namespace. Without NAME every policy of the input is
    described, of a cluster those of one namespace or, with -A, of all. Notes at the end tell where
    a policy does something else than its name or its shape suggests.
    """
    names = read_names(resolve, *inputs.paths)
    given = () if namespace is None else (namespace,)
    namespace = next(iter(inputs.scope(given, everything=all_namespaces)), None)
    about = [each for each in (namespace, (name or "").partition("/")[0]) if each]
    loaded = load_cluster(inputs, about)
    with asking(loaded, inputs):
        if namespace is not None and (given or name is None):
            known_namespaces(loaded, [namespace])
        wanted = wanted_policies(loaded, name, namespace)
        if name is not None and not wanted:
            index = compile_cluster(loaded.cluster, names)
            party = _party(loaded, index, name, inputs.namespace_of_names(namespace))
            selection = selecting(index, party)
            if doubts := Certainty(index).about(selection.pods):
                text = f"not all policies are known: {without_verdict(loaded, doubts)}"
                raise PodfenceError(text, code="PF007")
            return _show(selection, loaded, output)
    if output == "json":
        raise click.UsageError("a policy is described as text; -o json is for a workload or a pod")
    click.echo("\n".join(_texts(loaded, wanted, names)), nl=False)
    unread = has_errors(loaded.problems) and not keep_going
    return 2 if unread or lacks_files(loaded) else 0


def _party(loaded: Loaded, index: PolicyIndex, name: str, namespace: str) -> Party:
    try:
        return PartyLookup(index).find(qualified(name, namespace), namespace)
    except UnreadObject:
        raise
    except UnknownObject as error:
        for doubt in loaded.doubts:
            ref = ObjectRef(doubt.kind, doubt.namespace, doubt.name)
            if doubt.kind in POLICY_KINDS and is_called(ref, name, namespace):
                raise unread(doubt) from error
        if entry := name if is_entry(name) else entry_meant(name):
            kinds = "is not a policy, workload or pod"
            raise UnknownObject(
                f"{name!r} {kinds}; an entry is told by podfence why {entry}"
            ) from error
        whole = loaded.cluster.with_audited()
        policies: list[Policy] = [*whole.policies, *whole.admin_policies]
        known = ", ".join(policy_name(p.ref) for p in policies[:10])
        raise UnknownObject(
            f"no policy, workload or pod is called {name!r}; the policies are: {known or 'none'}"
        ) from error


def _show(selection: SelectingPolicies, loaded: Loaded, output: str) -> int:
    if output == "json":
        click.echo(json_text(selection_data(selection, loaded.locate)))
    else:
        click.echo(render_selection(selection, loaded.locate), nl=False)
    return 0


def _texts(loaded: Loaded, wanted: list[Policy], names: DomainTable) -> Iterator[str]:
    enforced = compile_cluster(loaded.cluster, names)
    for audited in (False, True):
        index = audit_of(enforced) if audited else enforced
        policies = [policy for policy in wanted if policy.audited is audited]
        if index is not None and policies:
            yield from _texts_of(loaded, index, policies)


def _texts_of(loaded: Loaded, index: PolicyIndex, wanted: list[Policy]) -> Iterator[str]:
    locate = _text_locator(loaded)
    written = WrittenObjects(index, loaded.raw)
    findings = (
        tier_findings(index) if any(isinstance(p, ClusterNetworkPolicy) for p in wanted) else ()
    )
    for one in wanted:
        if one.audited:
            yield AUDITED.format(printable(policy_name(one.ref)))
        if isinstance(one, NetworkPolicy):
            notes = notes_for(index, one, loaded.raw(one.source), written=written)
            yield render_description(describe(index, one), locate, notes)
        else:
            found = tuple(f for f in findings if f.object == one.ref)
            yield render_tier_description(describe_tier_policy(index, one), locate, found)


def _text_locator(loaded: Loaded) -> Callable[[Source | None, str], str]:
    def locate(source: Source | None, path: str) -> str:
        position = loaded.locate(source, path)
        return str(position) if position else ""

    return locate
