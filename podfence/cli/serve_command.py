"""``podfence serve``: the page of ``report`` from a server on this machine; it follows changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import click
from msgspec.structs import replace

from podfence.cli.agents import AgentAccess, Agents, fleet_options
from podfence.cli.check_answer import configured, surroundings
from podfence.cli.common import (
    asking,
    known_namespaces,
    read_inputs,
    read_names,
    renders,
    require_charts,
    resolve_option,
    usable,
)
from podfence.cli.inputs import (
    Inputs,
    all_namespaces_option,
    input_options,
    pair_namespaces_option,
)
from podfence.cli.lookups import Lookups
from podfence.cli.pageparts import PARTS, PageParts
from podfence.cli.report_command import called
from podfence.cli.settings import read_settings
from podfence.cli.terminal import echo
from podfence.cli.testinputs import read_tests, tests_option
from podfence.collector import collector_paused
from podfence.errors import HostError, PodfenceError, Severity
from podfence.intake.documents import DecodedDocuments
from podfence.kube.agents import AgentAddress
from podfence.manifests.inputfiles import InputFile, SkippedLink
from podfence.manifests.load import Loaded
from podfence.manifests.testfiles import read_test_files
from podfence.policy.compile import compile_cluster
from podfence.policy.domains import DomainTable
from podfence.questions.report import report
from podfence.render.problems import problem_line
from podfence.render.report_names import AsWritten
from podfence.text import printable
from podfence.web.folder import Folder, InputFiles, Renderer
from podfence.web.listening import Address, bind_address
from podfence.web.revision import InputRevision, Make, ReadInput
from podfence.web.served import InputSource, ServedInput
from podfence.web.steps import Step, Steps

_IN_THE_OPEN = (
    "warning: the page goes over the network in plain text; who can listen there gets its token"
)
CLUSTER_SECONDS = 60.0
"""Seconds between two readings of a cluster while the page is open."""


@click.command("serve")
@input_options
@pair_namespaces_option
@all_namespaces_option
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    show_default=True,
    metavar="PORT",
    help="The port to listen on; 0 takes any free one.",
)
@click.option(
    "--bind",
    metavar="ADDR",
    help="Listen on this address alone, of which others may reach the page; needs --i-know.",
)
@click.option(
    "--i-know",
    is_flag=True,
    help="With --bind: the page goes over the network in plain text, its token too.",
)
@click.option(
    "--edit",
    is_flag=True,
    help="Allow edits in the page: what an edit opens and closes is shown before it is saved. Only "
    "files that -f names, or new ones beside them, are ever written.",
)
@tests_option
@click.option("--title", default="", metavar="TEXT", help="The page's title.")
@resolve_option
@fleet_options
def command(
    inputs: Inputs,
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    port: int,
    bind: str | None,
    i_know: bool,
    edit: bool,
    tests: tuple[str, ...],
    title: str,
    resolve: str | None,
    agent_namespace: str,
    account: str,
    direct: tuple[AgentAddress, ...],
) -> int:
    """Show the page of `podfence report` from a server of this machine, until Ctrl+C.

    The page follows the files: what is saved is shown. Of a cluster, it is read again each minute
    while somebody looks, or at a click. The server listens on this machine's own addresses alone
    unless --bind names another, and only the address that it prints, with the token in it, gives
    access. Exit status 0 when it
    is ended, 2 when nothing could be read or the port cannot be used.
    """
    if "-" in (*inputs.paths, *tests):
        raise click.UsageError("serve reads its files again when they change; name files, not -")
    if edit and inputs.are_live:
        raise click.UsageError("a cluster is never written; --edit goes with -f")
    if (account or direct) and not inputs.are_live:
        raise click.UsageError("only a cluster has agents; --agent and --account do not go with -f")
    require_charts(inputs)
    address = _bound(bind, known=i_know)
    names = read_names(resolve)
    scope = inputs.scope(namespaces, everything=all_namespaces)
    folder = Folder(
        inputs.paths,
        inputs.namespace,
        inputs.exclude,
        inputs.strict_cidrs,
        _renderer(inputs, edit=edit) if not inputs.are_live and renders(inputs) else None,
    )
    source = _cluster(inputs, scope, names) if inputs.are_live else _files(folder, names)
    if tests:
        read_tests(tests, "nothing is served")  # says all that is wrong, before anything is shown
        source = _with_tests(source, tests)
    stamp = source.stamp()  # before the reading: what changes meanwhile is a change
    first = source.read()
    loaded = usable(first.loaded)
    with asking(loaded, inputs):
        known_namespaces(loaded, scope)
    served = ServedInput(_begun(first, stamp, source), _parts(inputs, scope, title), edit=edit)
    where = AgentAccess(inputs.context or "", inputs.kubeconfig, agent_namespace, account, direct)
    news: dict[str, Callable[[], dict[str, Any]] | None] = {
        what: partial(ask, where) if inputs.are_live else None for what, ask in _NEWS.items()
    }
    _serve(
        served, (port, address), (folder, names) if edit else None, news, partial(_lookup, inputs)
    )
    return 0


def _bound(text: str | None, *, known: bool) -> Address | None:
    """The address to listen on; None for this machine's own. Raises UsageError."""
    if text is None:
        if known:
            raise click.UsageError("--i-know goes with --bind")
        return None
    try:
        found = bind_address(text)
    except ValueError as error:
        raise click.UsageError(f"--bind: {error}") from error
    if found.is_loopback:
        return found
    if not known:
        raise click.UsageError(
            f"--bind {found} lets others reach the page, in plain text: who can listen on the "
            "network gets its token, and with it all that the page shows and, with --edit, writes; "
            "add --i-know if that is meant"
        )
    return found


def _denied(where: AgentAccess) -> dict[str, Any]:
    """The drops that the agents of the cluster report. Raises PodfenceError."""
    from podfence.drops.record import Drops
    from podfence.kube.agents import DROPS_PATH
    from podfence.render.drops import page_data

    with Agents(where) as agents:
        return page_data(agents.ask(DROPS_PATH, {}, Drops))


def _counted(where: AgentAccess) -> dict[str, Any]:
    """The agents' counts of packets and rules, and their state. Raises PodfenceError."""
    from podfence.agent.nodereport import NodeReport
    from podfence.kube.agents import RULES_PATH, STATUS_PATH
    from podfence.render.counters import page_data
    from podfence.usage.record import NodeUsage

    with Agents(where) as agents:
        nodes = agents.ask(STATUS_PATH, {}, NodeReport)
        return page_data(nodes, agents.ask(RULES_PATH, {}, NodeUsage))


_NEWS: Mapping[str, Callable[[AgentAccess], dict[str, Any]]] = {
    "drops": _denied,
    "counters": _counted,
}
"""The questions to agents while a page shows the answers."""
_SECONDS: Mapping[str, float] = {"drops": 2.0, "counters": 10.0}
"""Seconds between two questions. Agents look at connections every ten seconds."""


def _lookup(inputs: Inputs, revision: InputRevision) -> Callable[[str, Mapping[str, str]], Any]:
    read = revision.read
    return Lookups(read.loaded, read.index, inputs, lambda: revision.followed).answer


def _begun(first: ReadInput, stamp: object, source: InputSource) -> InputSource:
    """The source, with the input that was read already."""
    waiting, stamps = [first], [stamp]
    return replace(
        source,
        read=lambda: waiting.pop() if waiting else source.read(),
        stamp=lambda: stamps.pop() if stamps else source.stamp(),
    )


def _with_tests(source: InputSource, tests: tuple[str, ...]) -> InputSource:
    """The input together with the test files: a change of either counts."""
    folder = Folder(tests)

    def read() -> ReadInput:
        promises = read_test_files(tests)
        for problem in promises.problems:
            if problem.severity is Severity.ERROR:
                position = promises.positions.locate_problem(problem)
                raise PodfenceError(problem_line(problem, position), code=problem.code)
        return replace(source.read(), tests=promises)

    return replace(source, read=read, stamp=lambda: (source.stamp(), folder.stamp()))


def _files(folder: Folder, names: DomainTable) -> InputSource:
    steps = Steps()

    def read() -> ReadInput:
        loaded, files = folder.read(DecodedDocuments(), steps)
        steps.tell(Step("policies", len(files), len(files), len(loaded.documents)))
        return _input(loaded, names, files)

    return InputSource(read, folder.stamp, steps=steps)


def _renderer(inputs: Inputs, *, edit: bool) -> Renderer:
    """Says what was rendered, and again only where that has changed."""
    from podfence.cli.rendering import rendered, rendered_from

    told: set[str] = set()

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            echo(printable(line), err=True)

    def render(files: InputFiles) -> InputFiles:
        found = rendered(inputs, files)
        for line in found.said:
            tell(line)
        if edit and found.said:
            tell("what was rendered is not edited in the page: edit its sources, the page follows")
        return found.files

    return Renderer(render, lambda: rendered_from(inputs))


def _cluster(inputs: Inputs, scope: tuple[str, ...], names: DomainTable) -> InputSource:
    steps = Steps()

    def read() -> ReadInput:
        steps.tell(Step("objects"))
        loaded = read_inputs(
            inputs, scope, tell=lambda number: steps.tell(Step("objects", objects=number))
        )
        steps.tell(Step("policies", objects=len(loaded.documents)))
        return _input(loaded, names, ())

    return InputSource(read, time.monotonic, CLUSTER_SECONDS, steps)


def _input(
    loaded: Loaded, names: DomainTable, files: tuple[InputFile | SkippedLink, ...]
) -> ReadInput:
    if not loaded.documents and loaded.errors:
        raise PodfenceError(loaded.errors[0].message, code="PF006")
    with collector_paused():
        settings = read_settings(None, none=False)
        index = compile_cluster(loaded.cluster, names)
        around = surroundings(loaded, index, settings)
        told = partial(configured, settings)
        return ReadInput(loaded, index, files, around=around, configured=told)


def _parts(inputs: Inputs, scope: tuple[str, ...], title: str) -> Make:
    def made(read: ReadInput) -> Mapping[str, Callable[[], object]]:
        source = called(inputs, read.loaded)

        @cache
        def parts() -> PageParts:
            found = report(read.index, frozenset(scope))
            shown = title or f"podfence: {source}"
            return PageParts(
                read.loaded, read.index, found, shown, source, AsWritten(), tests=read.tests
            )

        return {name: partial(_part, parts, name) for name in PARTS}

    return made


def _part(parts: Callable[[], PageParts], name: str) -> object:
    with collector_paused():
        return parts().part(name)


def _serve(
    served: ServedInput,
    where: tuple[int, Address | None],
    edited: tuple[Folder, DomainTable] | None,
    news: Mapping[str, Callable[[], dict[str, Any]] | None],
    lookup: Callable[[InputRevision], Callable[[str, Mapping[str, str]], Any]],
) -> None:
    """``where``: port and address. ``edited``: the files that may be written; None for none.
    ``news``: asks the agents. ``lookup``: answers about single objects of a state."""
    try:
        from podfence.web.agentnews import AgentNews
        from podfence.web.editing import Editing
        from podfence.web.lookups import LookupRoutes
        from podfence.web.server import ListeningServer, until_stopped
    except ModuleNotFoundError as error:
        raise HostError(
            "serve needs the package aiohttp, which comes with: pip install 'podfence[serve]'"
        ) from error
    from podfence.web.shell import StaticFiles

    def tell(bound: ListeningServer) -> None:
        if address is not None and not address.is_loopback:
            echo(_IN_THE_OPEN, err=True)
        echo(f"The page is at {bound.address}\nCtrl+C ends it.")

    port, address = where
    more = [AgentNews(what, ask, _SECONDS[what]).add for what, ask in news.items()]
    more.append(LookupRoutes(served, lookup).add)
    if edited is not None:
        more.append(Editing(served, *edited).add)
    static = StaticFiles(edit=edited is not None)
    asyncio.run(until_stopped(served, static, port, tell, *more, bind=address))
