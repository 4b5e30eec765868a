"""``podfence test --in cluster``: connections tried from inside the pods of the cluster.

Rule: nothing is written to a cluster before the user has agreed to it, by ``--yes`` or when asked
on a terminal: what is put into a pod is listed there until the pod is deleted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any

import click
from msgspec import Struct

from podfence.cli.inputs import Inputs
from podfence.errors import ClusterError
from podfence.manifests.load import Loaded
from podfence.policy.domains import DomainTable
from podfence.questions.phrases.words import count, some
from podfence.questions.tests.form import PolicyTest, PolicyTests
from podfence.text import printable

if TYPE_CHECKING:  # most runs try nothing, and these take a while to import
    from podfence.lab.testbed.agreement import ProvedTest
    from podfence.podprobe.attempts import DialPlan, Outcomes

_SHOWN = 8


class Probing(Struct, frozen=True):
    """How pods try connections. ``image``: "" for that of the agent in ``agents``; ``pods``: the
    most that take part; ``agreed``: the user has agreed already."""

    image: str = ""
    pods: int = 20
    agents: str = "kube-system"
    agreed: bool = False


def probing_options(function: Callable[..., int]) -> Callable[..., int]:
    """How ``--in cluster`` tries connections: the parameter ``probing: Probing``."""

    @click.option(
        "--probe-image",
        "image",
        default="",
        metavar="IMAGE",
        help="With --in cluster: the image of the containers that try connections; it needs only "
        "python3. Without it: the one that the agent runs with.",
    )
    @click.option(
        "--probe-pods",
        "pods",
        type=click.IntRange(2, 200),
        default=Probing().pods,
        show_default=True,
        metavar="N",
        help="With --in cluster: the most pods that get such a container.",
    )
    @click.option(
        "--agent-namespace",
        "agents",
        default=Probing().agents,
        show_default=True,
        metavar="NAMESPACE",
        help="With --in cluster: the namespace of the agents' DaemonSet.",
    )
    @click.option(
        "--yes",
        "agreed",
        is_flag=True,
        help="With --in cluster: put the containers into the pods without asking.",
    )
    @wraps(function)
    def command(*args: Any, image: str, pods: int, agents: str, agreed: bool, **others: Any) -> int:
        return function(*args, probing=Probing(image, pods, agents, agreed), **others)

    return command


def require_cluster(inputs: Inputs) -> None:
    """Raises UsageError where the input is files: they are not what runs in a cluster."""
    if not inputs.are_live:
        raise click.UsageError(
            "--in cluster tries connections in the cluster of the input, and -f reads files; drop "
            "-f, and name the cluster with --context"
        )


def tried_in_cluster(
    inputs: Inputs,
    loaded: Loaded,
    names: DomainTable,
    files: Sequence[PolicyTests],
    wanted: Callable[[PolicyTest], bool],
    probing: Probing,
    *,
    compare: bool,
) -> tuple[tuple[PolicyTests, tuple[ProvedTest, ...]], ...]:
    """What the pods of a cluster have seen of the tests of each document. ``compare``: a connection
    that is not as the engine says fails its test. Raises ClusterError, UsageError."""
    from podfence.podprobe.attempts import Outcomes
    from podfence.podprobe.judging import judged_file
    from podfence.podprobe.planning import plan_probes

    plan = plan_probes(loaded.cluster, names, files, wanted, probing.pods)
    outcomes = _tried(plan, inputs, probing) if plan.dials else Outcomes({}, {})
    for pod, reason in outcomes.failures.items():
        click.echo(f"warning: {printable(pod)} tried nothing: {printable(reason)}", err=True)
    return tuple(
        (each.file, judged_file(plan, each, outcomes, compare=compare)) for each in plan.files
    )


def _tried(plan: DialPlan, inputs: Inputs, probing: Probing) -> Outcomes:
    from podfence.kube.agents import find_image
    from podfence.kube.client import Client
    from podfence.kube.source import find_access
    from podfence.podprobe.run import ProbeOptions, ProbeRun

    access = find_access(inputs.context, inputs.kubeconfig, os.environ)
    with Client(access) as client:
        image = probing.image or find_image(client, probing.agents)
        if not image:
            raise ClusterError(
                f"no agent of podfence runs in namespace {probing.agents}, whose image could try "
                "connections: name an image that has python3 with --probe-image"
            )
        run = ProbeRun(client, plan.dials, ProbeOptions(image))
        _agree(plan, run, image, probing)
        try:
            return run.outcomes()
        except KeyboardInterrupt:
            number = count(len(run.started), "pod")
            click.echo(
                f"the containers {run.name} of {number} end by themselves within {run.longest} s",
                err=True,
            )
            raise


def _agree(plan: DialPlan, run: Any, image: str, probing: Probing) -> None:
    """Say what is put into which pods, and ask. Raises UsageError, click.Abort."""
    pods, number = list(plan.dials), sum(map(len, plan.dials.values()))
    said = (
        f"{count(number, 'connection')} are tried from an ephemeral container {run.name} "
        f"({printable(image)}) in {count(len(pods), 'pod')}: {printable(some(pods, _SHOWN))}. It "
        f"ends within {run.longest} s after its start, and stays listed in the pod until the pod "
        "is deleted."
    )
    if plan.left_out:
        said += f" {count(plan.left_out, 'pod')} more would take part with a larger --probe-pods."
    if not probing.agreed and not sys.stdin.isatty():
        raise click.UsageError(f"{said} Add --yes to agree to that")
    click.echo(said, err=True)
    if not probing.agreed:
        click.confirm("Go on?", abort=True, err=True)
