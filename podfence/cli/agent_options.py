"""Options that commands of ``podfence agent`` share."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, TypeVar

import click

from podfence.errors import PodfenceError
from podfence.model.networkpolicy import IPNetwork
from podfence.model.objects import IPAddress
from podfence.text import printable

F = TypeVar("F", bound=Callable[..., Any])


def networks(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[IPNetwork, ...]:
    """Ranges, as a callback of an option."""
    found: list[IPNetwork] = []
    for text in value:
        try:
            found.append(ip_network(text))
        except ValueError as error:
            message = f"{text!r} is no CIDR ({error}); write one like 10.244.1.0/24"
            raise click.BadParameter(message, context, parameter) from error
    return tuple(found)


def addresses(
    context: click.Context, parameter: click.Parameter, value: tuple[str, ...]
) -> tuple[IPAddress, ...]:
    """Addresses, as a callback of an option."""
    try:
        return tuple(map(ip_address, value))
    except ValueError as error:
        message = f"{error}; write one like 10.96.0.10"
        raise click.BadParameter(message, context, parameter) from error


def ranges_option(function: F) -> F:
    """``--pod-cidr CIDR``."""
    return click.option(
        "--pod-cidr",
        "ranges",
        callback=networks,
        multiple=True,
        metavar="CIDR",
        help="The range that the node's pods get addresses from, instead of spec.podCIDRs of its "
        "Node object. May be given more than once.",
    )(function)


def run_dir_option(text: str) -> Callable[[F], F]:
    """``--run-dir DIR``; ``text``: what lies there."""
    return click.option(
        "--run-dir",
        type=click.Path(path_type=Path),
        default=Path("/run/podfence"),
        show_default=True,
        metavar="DIR",
        help=text,
    )


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
        help="Bits of the conntrack mark that are podfence's: one run of 8 bits or more.",
    )(function)


def netns_option(function: F) -> F:
    """``--netns FILE``."""
    return click.option(
        "--netns",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="FILE",
        help="Enforce in this network namespace, not in that of the process.",
    )(function)


def opened(path: Path | None) -> int | None:
    """A descriptor of a network namespace, None for that of the process. Raises PodfenceError."""
    if path is None:
        return None
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise PodfenceError(f"{printable(str(path))}: {error.strerror}") from error
