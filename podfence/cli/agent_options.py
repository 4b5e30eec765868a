"""Options that the commands of ``podfence agent`` share."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from podfence.cli.optionvalues import Number
from podfence.errors import PodfenceError
from podfence.sets.addresses import IPAddress, IPNetwork
from podfence.text import printable

if TYPE_CHECKING:
    from podfence.agent.mirrored import MirrorAddress

F = TypeVar("F", bound=Callable[..., Any])


def networks(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[IPNetwork, ...]:
    """Parses CIDRs, as a callback of an option."""
    found: list[IPNetwork] = []
    for text in value:
        try:
            found.append(ip_network(text))
        except ValueError as error:
            message = f"{text!r} is not a CIDR ({error}); write one like 10.244.1.0/24"
            raise click.BadParameter(message, context, parameter) from error
    return tuple(found)


def addresses(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[IPAddress, ...]:
    """Parses addresses, as a callback of an option."""
    try:
        return tuple(map(ip_address, value))
    except ValueError as error:
        message = f"{error}; write one like 10.96.0.10"
        raise click.BadParameter(message, context, parameter) from error


def http_options(port: int) -> Callable[[F], F]:
    """``--http-address`` and ``--http-port``, with the default port."""

    def both(function: F) -> F:
        address = click.option(
            "--http-address",
            default="127.0.0.1",
            show_default=True,
            metavar="ADDRESS",
            help="Where /healthz, /readyz and /metrics are served.",
        )
        number = click.option(
            "--http-port",
            type=click.IntRange(0, 65535),
            default=port,
            show_default=True,
            help="The port of that address; 0: none.",
        )
        return address(number(function))

    return both


def _node(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A node's name names files and objects of the API, so it must be valid."""
    from podfence.admission.validate_names import dns_subdomain

    if value and (found := dns_subdomain(value)):
        message = f"{value!r} is not the name of a Node: {found[0]}"
        raise click.BadParameter(message, context, parameter)
    return value


def node_option(text: str) -> Callable[[F], F]:
    """``--node NAME``, as an argument ``node``; ``text``: the help."""
    return click.option("--node", envvar="NODE_NAME", metavar="NAME", callback=_node, help=text)


def ranges_option(function: F) -> F:
    """``--pod-cidr CIDR``."""
    return click.option(
        "--pod-cidr",
        "ranges",
        callback=networks,
        multiple=True,
        metavar="CIDR",
        help="The range of addresses of the node's pods, instead of spec.podCIDRs of its Node "
        "object. Repeatable.",
    )(function)


def run_dir_option(text: str) -> Callable[[F], F]:
    """``--run-dir DIR``; ``text``: what it holds."""
    return _folder_option("--run-dir", "/run/podfence", text)


def state_dir_option(text: str) -> Callable[[F], F]:
    """``--state-dir DIR``; ``text``: what it holds."""
    return _folder_option("--state-dir", "/var/lib/podfence", text)


def _folder_option(name: str, default: str, text: str) -> Callable[[F], F]:
    return click.option(
        name,
        type=click.Path(path_type=Path),
        default=Path(default),
        show_default=True,
        metavar="DIR",
        help=text,
    )


def local_options(function: F) -> F:
    """How the agent of this node is asked: ``local``, ``run_dir`` and ``namespace_file``."""
    for option in (
        click.option(
            "--netns",
            "namespace_file",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="The network namespace that the agent enforces in, if not this one.",
        ),
        run_dir_option("The path of that socket."),
        click.option(
            "--local", is_flag=True, help="Ask only the agent of this node, at its socket."
        ),
    ):
        function = option(function)
    return function


def _mask(context: click.Context, parameter: click.Parameter, value: str) -> int:
    from podfence.nft.lowering.lower import LocalNode

    try:
        return LocalNode("", mark_mask=int(value, 0)).mark_mask
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from error


def mark_option(function: F) -> F:
    """``--mark-mask MASK``."""
    return click.option(
        "--mark-mask",
        default="0xffff0000",
        show_default=True,
        metavar="MASK",
        callback=_mask,
        help="The bits of the conntrack mark that podfence may use: one run of 8 bits or more.",
    )(function)


def netns_option(function: F) -> F:
    """``--netns FILE``."""
    return click.option(
        "--netns",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Enforce in this network namespace, not in that of this process.",
    )(function)


def mirror_options(function: F) -> F:
    """``--mirror URL`` and the options that belong to it, as one argument ``mirror``."""

    @functools.wraps(function)
    def with_address(
        *args: Any,
        mirror_url: str | None,
        mirror_ca: Path | None,
        mirror_token: Path | None,
        mirror_patience: float,
        **others: Any,
    ) -> Any:
        mirror = _mirror(mirror_url, mirror_ca, mirror_token, mirror_patience)
        return function(*args, mirror=mirror, **others)

    options = (
        click.option(
            "--mirror",
            "mirror_url",
            metavar="URL",
            help="The address of podfence mirror, which tells the pods of other nodes. Without it: "
            "the API server.",
        ),
        click.option(
            "--mirror-ca",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="The CA certificates that the mirror's certificate must be signed by.",
        ),
        click.option(
            "--mirror-token",
            type=click.Path(path_type=Path),
            metavar="FILE",
            help="A file with a token for the audience podfence.io, which is sent to the mirror.",
        ),
        click.option(
            "--mirror-patience",
            type=Number(1.0, 3600.0),
            default=60.0,
            show_default=True,
            metavar="SECONDS",
            help="After how many seconds of silence from the mirror the API server is asked.",
        ),
    )
    for option in reversed(options):
        with_address = option(with_address)
    return cast(F, with_address)


def _mirror(
    url: str | None, ca: Path | None, token: Path | None, patience: float
) -> MirrorAddress | None:
    if not url:
        return None
    if not url.startswith("https://"):
        raise click.UsageError(
            "--mirror must be a URL of https://, because the agent trusts what the mirror says"
        )
    if ca is None or token is None:
        raise click.UsageError(
            "--mirror needs --mirror-ca (to trust) and --mirror-token (to authenticate)"
        )
    from podfence.agent.mirrored import MirrorAddress

    return MirrorAddress(url, ca, token, patience)


def opened(path: Path | None) -> int | None:
    """A descriptor of a network namespace; None for that of the process. Raises PodfenceError."""
    if path is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PodfenceError(f"{printable(str(path))}: {error.strerror}") from error
