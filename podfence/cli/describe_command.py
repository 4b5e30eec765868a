"""``podfence describe``: what one policy really does."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import click

from podfence.cli.common import (
    Inputs,
    asking,
    has_errors,
    input_options,
    keep_going_option,
    known_namespaces,
    load_cluster,
    namespace_option,
    read_names,
    resolve_option,
)
from podfence.errors import Source, UnknownObject
from podfence.manifests.load import Loaded
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from podfence.model.kindnames import kind_called
from podfence.model.networkpolicy import NetworkPolicy
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import Names
from podfence.questions.describe import describe
from podfence.questions.describe_tiers import describe_tier_policy
from podfence.questions.lint.notes import Note, notes_for
from podfence.questions.lint.tiers import tier_findings
from podfence.questions.phrases.tierwords import policy_name
from podfence.render.describe import render_description, render_tier_description

Policy = NetworkPolicy | ClusterNetworkPolicy


@click.command("describe")
@click.argument("policy", metavar="[NAMESPACE/][KIND/]POLICY", required=False)
@input_options
@namespace_option
@resolve_option
@keep_going_option
def command(
    policy: str | None,
    inputs: Inputs,
    namespace: str | None,
    resolve: str | None,
    keep_going: bool,
) -> int:
    """Say in plain sentences what a policy does, and to which pods right now.

    Without POLICY every policy of the input is described. Policies of the Admin and Baseline tiers
    have no namespace; KIND/POLICY (netpol/db) tells two of one name apart. Notes at the end tell
    where a policy does something else than its name or its shape suggests.
    """
    names = read_names(resolve, *inputs.paths)
    loaded = load_cluster(inputs)
    with asking(loaded, inputs):
        wanted = _wanted(loaded, policy, namespace)
    click.echo("\n".join(_texts(loaded, wanted, names)), nl=False)
    return 2 if has_errors(loaded.problems) and not keep_going else 0


def _texts(loaded: Loaded, wanted: list[Policy], names: Names) -> Iterator[str]:
    index = compile_cluster(loaded.cluster, names)
    place = _place(loaded)
    findings = (
        tier_findings(index) if any(isinstance(p, ClusterNetworkPolicy) for p in wanted) else ()
    )
    for one in wanted:
        if isinstance(one, NetworkPolicy):
            notes = notes_for(index, one, loaded.raw(one.source))
            yield render_description(describe(index, one), place, notes)
        else:
            found = (f for f in findings if f.policy == one.ref)
            remarks = tuple(Note(f.code, f.title, f.text, f.path) for f in found)
            yield render_tier_description(describe_tier_policy(index, one), place, remarks)


def _wanted(loaded: Loaded, name: str | None, namespace: str | None) -> list[Policy]:
    if namespace is not None:
        known_namespaces(loaded, [namespace])
    policies: list[Policy] = [*loaded.cluster.policies, *loaded.cluster.admin_policies]
    if name is None:
        found = [p for p in policies if namespace in (None, p.ref.namespace)]
        if not found:
            where = f"namespace {namespace!r}" if namespace else "the input"
            raise UnknownObject(f"there is no policy in {where}")
        return found
    found = [p for p in policies if _is_called(p, name, namespace)]
    if len(found) == 1:
        return found
    if not found:
        known = ", ".join(policy_name(p.ref) for p in policies[:10])
        raise UnknownObject(f"no policy is called {name!r}; the input has: {known or 'none'}")
    several = ", ".join(policy_name(p.ref) for p in found)
    where = "is in several namespaces" if all(p.ref.namespace for p in found) else "is several"
    raise UnknownObject(f"{name!r} {where}: {several}; say which, as NAMESPACE/NAME or KIND/NAME")


def _is_called(policy: Policy, name: str, namespace: str | None) -> bool:
    """``NAME``, ``KIND/NAME``, ``NAMESPACE/NAME`` or ``NAMESPACE/KIND/NAME``. ``-n`` is for names
    without a namespace; policies of the whole cluster have none."""
    ref = policy.ref
    if ref.namespace and str(ref) == name:
        return True
    *outer, last = name.split("/")
    if outer and kind_called(outer.pop()) != ref.kind:
        return False
    wanted = outer[0] if outer else namespace
    if len(outer) > 1 or (outer and not ref.namespace):
        return False
    return ref.name == last and (wanted is None or ref.namespace in ("", wanted))


def _place(loaded: Loaded) -> Callable[[Source | None, str], str]:
    def place(source: Source | None, path: str) -> str:
        position = loaded.locate(source, path)
        return str(position) if position else ""

    return place
