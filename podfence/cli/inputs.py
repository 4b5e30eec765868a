"""The input of commands: the options, and the value that they make.

Rule: input is files or, without any, a cluster; commands do not need to know which. The module that
asks a cluster (``live``) is imported where it is needed, because importing TLS takes longer than
reading a small input.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Sequence
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click
from msgspec import Struct

from podfence.cli.optionvalues import is_strict_about_cidrs, kube_version
from podfence.model.meta import DEFAULT_NAMESPACE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

F = TypeVar("F", bound=Callable[..., Any])


class RenderMode(Enum):
    """Which charts and kustomizations are rendered."""

    AUTO = "auto"
    """Those that were named: by their file, or by the directory that holds it."""
    NEVER = "never"
    ALWAYS = "always"
    """Those that directories hold, too."""


class Rendering(Struct, frozen=True):
    """What charts and kustomizations are rendered with. ``mode``: as of ``--render``;
    ``api_versions`` and ``kube_version``: what a chart is told of the cluster; the version counts
    for all that is read."""

    mode: RenderMode = RenderMode.AUTO
    values: tuple[str, ...] = ()
    sets: tuple[str, ...] = ()
    release: str = ""
    api_versions: tuple[str, ...] = ()
    kube_version: str = ""

    @property
    def is_of_charts(self) -> bool:
        """Whether an option that applies only to charts is set."""
        return bool(self.values or self.sets or self.release or self.api_versions)


class Inputs(Struct, frozen=True):
    """The input of a command: files or, without any, the cluster of ``context`` ("": the current
    one). ``namespace``: of objects of files that name none; None for ``default``. ``exclude``:
    patterns of files to leave out of directories."""

    paths: tuple[str, ...]
    namespace: str | None = None
    exclude: tuple[str, ...] = ()
    context: str = ""
    kubeconfig: str | None = None
    rendering: Rendering = Rendering()

    @property
    def strict_cidrs(self) -> bool:
        """Whether the API server refuses CIDRs with host bits."""
        return is_strict_about_cidrs(self.rendering.kube_version)

    @property
    def are_live(self) -> bool:
        """Whether the input is a cluster."""
        return not self.paths

    def namespace_of_names(self, given: str | None) -> str:
        """The namespace of a name without one; ``given``: the value of ``-n``. Raises ClusterError
        when no cluster can be found."""
        if given is None and self.are_live:
            from podfence.cli.live import context_namespace

            return context_namespace(self)
        return given or self.namespace or DEFAULT_NAMESPACE

    def scope(self, given: Sequence[str], *, everything: bool) -> tuple[str, ...]:
        """The namespaces of a command that names none, () for all: all of files; of a cluster that
        of the context, as in kubectl. ``everything``: ``-A``."""
        if everything or (not given and not self.are_live):
            return ()
        return tuple(given) or (self.namespace_of_names(None),)


def cluster_options(function: Callable[..., int]) -> Callable[..., int]:
    """``--context`` and ``--kubeconfig`` of a command that reads no files: the parameter ``inputs:
    Inputs``."""

    @access_options
    @wraps(function)
    def command(*args: Any, context: str | None, kubeconfig: str | None, **others: Any) -> int:
        inputs = Inputs((), context=context or "", kubeconfig=kubeconfig)
        return function(*args, inputs=inputs, **others)

    return command


def access_options(function: F) -> F:
    """``--context`` and ``--kubeconfig``."""
    context = click.option(
        "--context",
        metavar="NAME",
        shell_complete=_contexts,
        help="Ask the cluster of this kubeconfig context.",
    )
    kubeconfig = click.option(
        "--kubeconfig",
        metavar="FILE",
        shell_complete=complete_files,
        help="The kubeconfig. Without it: $KUBECONFIG, otherwise ~/.kube/config, otherwise the "
        "service account of the pod that this runs in.",
    )
    return context(kubeconfig(function))


def input_options(function: Callable[..., int]) -> Callable[..., int]:
    """``-f FILE|DIR|-``, repeatable, and how it is read, or the cluster to ask: the parameter
    ``inputs: Inputs``."""

    @click.option(
        "-f",
        "--filename",
        "paths",
        multiple=True,
        metavar="FILE|DIR|-",
        shell_complete=complete_files,
        help="Manifests: a file, a directory (with everything below it), or - for standard input. "
        "Repeatable. Without it: the cluster of the current context.",
    )
    @access_options
    @_reading_options
    @wraps(function)
    def command(
        *args: Any,
        paths: tuple[str, ...],
        input_namespace: str | None,
        exclude: tuple[str, ...],
        rendering: Rendering,
        context: str | None,
        kubeconfig: str | None,
        **others: Any,
    ) -> int:
        if paths and (context is not None or kubeconfig is not None):
            name = "--kubeconfig" if context is None else "--context"
            raise click.UsageError(f"-f reads files and {name} asks a cluster; drop one of the two")
        if not paths and (input_namespace is not None or exclude):
            name = "--exclude" if exclude else "--input-namespace"
            raise click.UsageError(f"{name} is for files, and none is given: use -f")
        if not paths and (rendering.mode is not RenderMode.AUTO or rendering.is_of_charts):
            raise click.UsageError("charts are files, and no file is given: use -f")
        inputs = Inputs(paths, input_namespace, exclude, context or "", kubeconfig, rendering)
        return function(*args, inputs=inputs, **others)

    return command


def shared_input_options(function: Callable[..., int]) -> Callable[..., int]:
    """``-f`` for what two inputs have in common, which is optional: the parameter ``common:
    Inputs``."""

    @click.option(
        "-f",
        "--filename",
        "shared",
        multiple=True,
        metavar="FILE|DIR|-",
        shell_complete=complete_files,
        help="Manifests that belong to both sides, such as a file of workloads beside two folders "
        "of policies. Repeatable.",
    )
    @_reading_options
    @wraps(function)
    def command(
        *args: Any,
        shared: tuple[str, ...],
        input_namespace: str | None,
        exclude: tuple[str, ...],
        rendering: Rendering,
        **others: Any,
    ) -> int:
        common = Inputs(shared, input_namespace, exclude, rendering=rendering)
        return function(*args, common=common, **others)

    return command


def _reading_options(function: F) -> F:
    """How files are read: ``--exclude`` and ``--input-namespace``."""
    exclude = click.option(
        "--exclude",
        multiple=True,
        metavar="GLOB",
        help="Files and directories to leave out of a directory, written as in .gitignore and "
        "relative to it. Repeatable; applied after .podfenceignore.",
    )
    namespace = click.option(
        "--input-namespace",
        metavar="NAME",
        callback=_namespace_name,
        help="The namespace of objects that name none, as in kubectl apply -n and helm template "
        f"-n. Without it: {DEFAULT_NAMESPACE}.",
    )
    return exclude(namespace(_rendering_options(function)))


def _rendering_options(function: F) -> F:
    """How charts and kustomizations become objects: the parameter ``rendering: Rendering``."""

    @click.option(
        "--render",
        "mode",
        type=click.Choice([each.value for each in RenderMode]),
        default=RenderMode.AUTO.value,
        show_default=True,
        help="Render charts and kustomizations with your helm, kustomize or kubectl: only those "
        "named by their file or by the directory that holds it; none; or also those further "
        "below.",
    )
    @click.option(
        "--values",
        multiple=True,
        metavar="FILE",
        shell_complete=complete_files,
        help="A values file for charts, as in helm. Repeatable.",
    )
    @click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="KEY=VALUE",
        help="A value for charts, as in helm. Repeatable.",
    )
    @click.option(
        "--release",
        default="",
        metavar="NAME",
        help="The release name that charts are rendered with. Without it: the name of the chart.",
    )
    @click.option(
        "--api-versions",
        multiple=True,
        metavar="GROUP/VERSION[/KIND]",
        help="An API that charts may assume the cluster has, as in helm. Repeatable.",
    )
    @click.option(
        "--kube-version",
        "version",
        default="",
        metavar="1.N",
        callback=kube_version,
        help="The version of the API server that reads the objects, and that charts are rendered "
        "for. Without it: the newest one that podfence knows, and what helm says.",
    )
    @wraps(function)
    def command(
        *args: Any,
        mode: str,
        values: tuple[str, ...],
        sets: tuple[str, ...],
        release: str,
        api_versions: tuple[str, ...],
        version: str,
        **others: Any,
    ) -> Any:
        if release and not re.fullmatch(_DNS_LABEL, release):
            raise click.UsageError(f"--release {release!r} is not a valid release name")
        for each in api_versions:
            if not re.fullmatch(_API_VERSION, each):
                raise click.UsageError(
                    f"--api-versions {each!r}: write GROUP/VERSION or GROUP/VERSION/KIND, as in "
                    "monitoring.coreos.com/v1"
                )
        how = RenderMode(mode)
        rendering = Rendering(how, values, sets, release, api_versions, version)
        return function(*args, rendering=rendering, **others)

    return cast("F", command)


def _contexts(
    context: click.Context, parameter: click.Parameter, text: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    from podfence.cli.live import context_names
    from podfence.errors import ClusterError

    try:
        names = context_names(context.params.get("kubeconfig"))
    except ClusterError:  # the command itself says what is wrong
        return []
    return [CompletionItem(name) for name in names if name.startswith(text)]


def path_without_option(context: click.Context) -> str:
    """What to write where a path was given without its ``-f``; "" where none was."""
    program, given = context.find_root().command_path, sys.argv[1:]
    at = len(context.command_path.split()) - len(program.split())
    while at < len(given) and (given[at - 1][:1] == "-" or not os.path.exists(given[at])):
        at += 1
    if at >= len(given):
        return ""
    import shlex

    words = shlex.join([*given[:at], "-f", *given[at:]])
    return f"manifests are given with -f: {program} {words}"


def complete_files(
    context: click.Context, parameter: click.Parameter, text: str
) -> list[CompletionItem]:
    """The shell itself completes names of files."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(text, type="file")]


def _namespace_name(
    context: click.Context, parameter: click.Parameter, value: str | None
) -> str | None:
    if value is not None and not re.fullmatch(_DNS_LABEL, value):
        raise click.BadParameter(
            f"{value!r} is not a valid namespace name: use lower-case letters, digits and '-', at "
            "most 63",
            context,
            parameter,
        )
    return value


_DNS_LABEL = r"(?!.{64})[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


_API_VERSION = r"[a-z0-9][a-z0-9.-]{0,252}(/[a-z0-9]{1,63})?(/[A-Za-z0-9]{1,63})?"


def namespace_option(function: F) -> F:
    """``-n NAMESPACE``."""
    return click.option(
        "-n",
        "--namespace",
        metavar="NAME",
        help="The namespace of names given without one on the command line. Without it: "
        "--input-namespace for files, the namespace of the context for a cluster.",
    )(function)


def pair_namespaces_option(function: F) -> F:
    """``-n`` of commands that show pairs: the parameter ``namespaces``."""
    return click.option(
        "-n",
        "--namespace",
        "namespaces",
        multiple=True,
        metavar="NAME",
        help="Only pairs with an end in this namespace. Repeatable. Without it: all namespaces of "
        "files; of a cluster, the namespace of the context.",
    )(function)


def all_namespaces_option(function: F) -> F:
    """``-A``."""
    return click.option(
        "-A",
        "--all-namespaces",
        is_flag=True,
        help="All namespaces of a cluster, instead of the context's. For files this is the "
        "default.",
    )(function)
