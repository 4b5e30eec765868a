"""``podfence find``: queries over who reaches whom, one sub-command for each question."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import click

from podfence.cli.allcontexts import each_context
from podfence.cli.beside import entry_rows, is_unsure, touched_pods
from podfence.cli.common import (
    asking,
    keep_going_option,
    lacks_input,
    load_cluster,
    output_option,
    read_names,
    resolve_option,
    strict_option,
    without_verdict,
)
from podfence.cli.ends import end_of, found_end, hop_ports, ports_of, target_of
from podfence.cli.findentries import rows_from, rows_to, status_of
from podfence.cli.inputs import Inputs, input_options, namespace_option
from podfence.cli.policynames import no_policy, wanted_policies
from podfence.cli.reaching import reached, spoken_of
from podfence.cli.targets import qualified
from podfence.cli.terminal import echo
from podfence.errors import PodfenceError
from podfence.manifests.load import Loaded
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.policy.flow import Direction
from podfence.policy.index import PolicyIndex
from podfence.questions.certainty import Certainty
from podfence.questions.entrynames import is_entry
from podfence.questions.entryrows import EntryRow
from podfence.questions.find import removal
from podfence.questions.find.openness import newcomers, unprotected
from podfence.questions.find.path import check_ends, shortest
from podfence.questions.find.reach import OUTSIDE
from podfence.questions.find.selectors import unused_selectors
from podfence.questions.parties import PartyLookup
from podfence.questions.phrases.words import count
from podfence.questions.plan.newcomers import NAME, with_newcomers
from podfence.questions.plan.outcomes import Outcome
from podfence.questions.selecting import selecting
from podfence.questions.tests.ends import Resolver
from podfence.questions.tests.form import ALL_PORTS, PortSpec, TargetEnd
from podfence.questions.tests.words import read_end
from podfence.questions.tests.world import ClusterWorld
from podfence.render import find as texts
from podfence.render.entries import entries_data, entries_text
from podfence.render.find_json import FindEncoder
from podfence.render.jsontext import json_text

NEWEST = f"{NAME}/{NAME}"
"""A pod in a namespace that does not exist yet: no NetworkPolicy can be there."""
NONE = 1
"""Exit status where nothing was found."""


@click.group("find")
def command() -> None:
    """Look up who reaches what, what stands open, and what a policy is for.

    Ends are written as in test files: shop/db, shop/*, shop/app=web, service/shop/db, 10.0.0.0/8,
    outside, internet, node/worker-1, +/+. Exit status 0: something was found; 1: nothing; 2: part
    of the input cannot be judged.
    """


class FindOptions(NamedTuple):
    """The options that all questions share."""

    loaded: Loaded
    inputs: Inputs
    names: DomainTable
    output: str
    keep_going: bool
    namespace: str

    def show(self, text: Callable[[], str], data: Callable[[], object]) -> None:
        """Print the answer."""
        if self.output == "json":
            click.echo(json_text(data()))
        else:
            echo(text(), nl=False)

    def world(self) -> ClusterWorld:
        """The compiled cluster, with a pod to come in each namespace and in a new one."""
        cluster = self.loaded.cluster
        return ClusterWorld(
            compile_cluster(with_newcomers(cluster, cluster.namespaces.keys()), self.names)
        )

    def status(self, found: object, uncertain: int = 0) -> int:
        """The exit status, after the answer was printed. ``uncertain``: pods that the answer leaves
        out."""
        loaded = self.loaded
        if loaded.doubts:
            what = f"{count(uncertain, 'pod')} left out: " if uncertain else ""
            level = "warning" if self.keep_going else "error"
            said = without_verdict(loaded, loaded.doubts)
            echo(f"{level}[PF007]: {what}{said}", err=True)
        if lacks_input(loaded, keep_going=self.keep_going):
            return 2
        return 0 if found else NONE


def _question(function: Callable[..., int]) -> Callable[..., int]:
    """The options of every question: the parameter ``asked: Asked``."""

    @each_context
    @input_options
    @namespace_option
    @output_option
    @resolve_option
    @keep_going_option
    @wraps(function)
    def command(
        *args: Any,
        inputs: Inputs,
        namespace: str | None,
        output: str,
        resolve: str | None,
        keep_going: bool,
        **others: Any,
    ) -> int:
        names = read_names(resolve, *inputs.paths)
        space = inputs.namespace_of_names(namespace)
        loaded = load_cluster(inputs)
        with asking(loaded, inputs):
            return function(
                *args,
                asked=FindOptions(loaded, inputs, names, output, keep_going, space),
                **others,
            )

    return command


def _via_option(function: Callable[..., int]) -> Callable[..., int]:
    return click.option(
        "--via",
        is_flag=True,
        help="Show every rule that allows a connection, at both of its ends.",
    )(function)


# -- connections


@command.command("to")
@click.argument("end", metavar="END[:PORT]")
@click.argument("port", metavar="[PORT]", required=False)
@_via_option
@strict_option
@_question
def find_to(end: str, port: str | None, via: bool, strict: bool, asked: FindOptions) -> int:
    """Who can reach END, on which ports, and by which rule; and that nobody else can; then every
    Ingress, route, Service and port of a node that leads to it and is not closed."""
    targets = [target_of(end, port, asked.namespace)]
    return _reached("to", asked, None, targets, Direction.INGRESS, via=via, strict=strict)


@command.command("from")
@click.argument("end", metavar="END")
@click.argument("port", metavar="[PORT]", required=False)
@_via_option
@strict_option
@_question
def find_from(end: str, port: str | None, via: bool, strict: bool, asked: FindOptions) -> int:
    """What END can reach, on which ports, and by which rule. Of entry/KIND/NAME, as find exposed
    lists them: what it leads to, and whether somebody can come in."""
    if is_entry(end):
        return _from_entry(end, port, asked, strict=strict)
    source = end_of(end, asked.namespace)
    ports = ports_of(port) if port else ALL_PORTS
    sources = [TargetEnd(source)]
    return _reached("from", asked, sources, None, Direction.EGRESS, ports, via=via, strict=strict)


_TO_INTERNET = "Find pods that reach the internet instead: outside without the private ranges."


@command.command("exposed")
@click.option("--to-internet", is_flag=True, help=_TO_INTERNET)
@_via_option
@strict_option
@_question
def find_exposed(to_internet: bool, via: bool, strict: bool, asked: FindOptions) -> int:
    """Pods that addresses outside the cluster reach, on which ports, and by which rule; then every
    Ingress, route, Service and port of a node that leads in, and who can come in through it."""
    pods = TargetEnd(read_end("*", asked.namespace))
    ends, near = ([TargetEnd(OUTSIDE)], [pods]), Direction.INGRESS
    if to_internet:
        internet = TargetEnd(read_end("internet", asked.namespace))
        ends, near = ([pods], [internet]), Direction.EGRESS
    return _reached("exposed", asked, *ends, near, via=via, strict=strict)


def _reached(
    question: str,
    asked: FindOptions,
    sources: list[TargetEnd] | None,
    targets: list[TargetEnd] | None,
    near: Direction,
    ports: PortSpec = ALL_PORTS,
    *,
    via: bool,
    strict: bool,
) -> int:
    """None: everybody."""
    world = asked.world()
    answer, open_pods = reached(world, asked.loaded, sources, targets, near, ports, via=via)
    locate, whole = asked.loaded.locate, question == "exposed"
    certain = not open_pods and not any(each.may_have_pods for each in asked.loaded.doubts)
    touched = touched_pods(asked.loaded, world.index)
    entries: tuple[EntryRow, ...] = ()
    if whole and near is Direction.INGRESS:
        entries = entry_rows(asked.loaded, world.index)
    elif targets is not None and sources is None:
        entries = rows_to(asked.loaded, world, Resolver(world).aims(targets))

    def text() -> str:
        said = texts.reached_text(
            answer, near, locate, whole=whole, certain=certain, touched=touched
        )
        return f"{said}\n{entries_text(entries, locate, touched)}" if entries else said

    def data() -> dict[str, object]:
        made = FindEncoder(question, locate, touched).reached(answer)
        return made | {"entries": entries_data(entries, locate)} if entries else made

    asked.show(text, data)
    named = [*(sources or ()), *(targets or ())]
    if strict and is_unsure(touched, spoken_of(world, answer, named)):
        return 2
    status = asked.status(answer.rows, len(open_pods))
    return status if status != NONE else status_of(entries)


def _from_entry(word: str, port: str | None, asked: FindOptions, *, strict: bool) -> int:
    world, loaded = asked.world(), asked.loaded
    rows = rows_from(loaded, world, word, asked.namespace, ports_of(port) if port else ALL_PORTS)
    touched = touched_pods(loaded, world.index)
    asked.show(
        lambda: entries_text(rows, loaded.locate, touched) if rows else "nobody\n",
        lambda: FindEncoder("from", loaded.locate).entries(rows),
    )
    if strict and is_unsure(touched, (pod for row in rows for pod in row.pods)):
        return 2
    return max(status_of(rows), asked.status(True))


# -- one pod, one policy, one way


@command.command("policies")
@click.argument("name", metavar="NAME")
@_question
def find_policies(name: str, asked: FindOptions) -> int:
    """Which policies select a pod or workload, and which of its connections hang on each alone."""
    index = compile_cluster(asked.loaded.cluster, asked.names)
    party = PartyLookup(index).find(qualified(name, asked.namespace), asked.namespace)
    selection = selecting(index, party)
    doubts = Certainty(index).about(selection.pods)
    if doubts:
        said = without_verdict(asked.loaded, doubts)
        raise PodfenceError(f"not all policies are known: {said}", code="PF007")
    owners = removal.owners_of(index, selection)
    policies = removal.selecting_policies(index, selection)
    purposes = [removal.purpose(index, policy) for policy in policies]
    found = [(each, removal.about(each.without, owners)) for each in purposes]
    return _purposes("policies", found, asked)


@command.command("pods")
@click.argument("policy", metavar="[NAMESPACE/][KIND/]NAME")
@_question
def find_pods(policy: str, asked: FindOptions) -> int:
    """Whom a policy selects, and what would close and open without it."""
    found = wanted_policies(asked.loaded, policy, asked.namespace)
    if not found:
        raise no_policy(asked.loaded, policy)
    index = compile_cluster(asked.loaded.cluster, asked.names)
    answer = removal.purpose(index, found[0])
    return _purposes("pods", [(answer, answer.without)], asked, found=answer.selects)


def _purposes(
    question: str,
    purposes: list[tuple[removal.PolicyPurpose, tuple[Outcome, ...]]],
    asked: FindOptions,
    found: object = None,
) -> int:
    locate = asked.loaded.locate
    asked.show(
        lambda: "\n".join(texts.purpose_text(*each, locate) for each in purposes) or "no policy\n",
        lambda: FindEncoder(question, locate).purposes(purposes),
    )
    return asked.status(purposes if found is None else found)


@command.command("path")
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@click.option(
    "--hops",
    type=click.IntRange(min=1, max=64),
    default=3,
    show_default=True,
    metavar="N",
    help="The most connections in one way.",
)
@click.option(
    "--port",
    "--ports",
    "ports",
    metavar="PORT[,PORT]...",
    multiple=True,
    help="Use one of these ports for each hop. Repeatable. Without it: any port.",
)
@_via_option
@_question
def find_path(
    source: str, target: str, hops: int, ports: tuple[str, ...], via: bool, asked: FindOptions
) -> int:
    """A shortest way from SRC to DST over pods that connect onward."""
    world = asked.world()
    allowed = hop_ports(ports)
    resolver = Resolver(world)
    near, far = (found_end(resolver, word, asked.namespace).pods for word in (source, target))
    check_ends(near, far)
    if doubts := Certainty(world.index).doubts:  # any pod may be on the way
        raise PodfenceError(f"no answer: {without_verdict(asked.loaded, doubts)}", code="PF007")
    way = shortest(world, near, far, allowed, hops)
    locate = asked.loaded.locate
    asked.show(
        lambda: texts.path_text(way, hops, locate if via else None),
        lambda: FindEncoder("path", locate).path(way, via=via),
    )
    return asked.status(way)


# -- what stands open, what does nothing


@command.command("unprotected")
@_question
def find_unprotected(asked: FindOptions) -> int:
    """Pods that no policy closes in some direction."""
    world = asked.world()
    open_pods = Certainty(world.index).open_pods()
    found = unprotected(world, open_pods)
    asked.show(
        lambda: texts.openness_text(found, touched=touched_pods(asked.loaded, world.index)),
        lambda: FindEncoder("unprotected", asked.loaded.locate).openness(found),
    )
    return asked.status(found, len(open_pods))


@command.command("newcomers")
@_question
def find_newcomers(asked: FindOptions) -> int:
    """Whether the next pod without labels would be closed, in each namespace and in a new one.

    Exit status 0: in some namespace that is there it would be open.
    """
    world = asked.world()
    open_pods = Certainty(world.index).open_pods()
    found = newcomers(world, open_pods)
    asked.show(
        lambda: texts.openness_text(found, closed=True),
        lambda: FindEncoder("newcomers", asked.loaded.locate).openness(found),
    )
    return asked.status([each for each in found if each.open and each.name != NEWEST])


@command.command("unused-selectors")
@_question
def find_unused_selectors(asked: FindOptions) -> int:
    """Selectors of policies and of their peers that fit no pod now."""
    found = tuple(unused_selectors(_index(asked)))
    locate = asked.loaded.locate
    asked.show(
        lambda: texts.selectors_text(found, locate),
        lambda: FindEncoder("unused-selectors", locate).selectors(found),
    )
    return asked.status(found)


def _index(asked: FindOptions) -> PolicyIndex:
    return compile_cluster(asked.loaded.cluster, asked.names)
