"""Facts about a node, read from the kernel; ``preflight`` judges them.

Rule: reading leaves nothing behind. Our rules are tried in a table of another name, which one
transaction makes and deletes, so that no packet ever meets it.
"""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from podfence.agent.preflight import HostFacts
from podfence.errors import HostError, NftError
from podfence.kernel import netns
from podfence.kernel.links import links
from podfence.kernel.nftables.foreign import chains, flowtables, mark_writers
from podfence.kernel.nftables.nftsocket import NftSocket
from podfence.kernel.nftables.table import NetlinkNft
from podfence.model.cluster import Cluster
from podfence.nft.difference import load
from podfence.nft.lowering.lower import TABLE, LocalNode, lower
from podfence.nft.objects import Table
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import DeleteTable, Transaction
from podfence.policy.compile import compile_cluster

_TRIED = f"{TABLE}-tried"
_BRIDGE = {4: "iptables", 6: "ip6tables"}
_CAP_NET_ADMIN = 1 << 12


def read_facts(namespace_fd: int | None = None) -> HostFacts:
    """Everything. ``namespace_fd``: another network namespace than that of the process.

    Raises HostError, NftError.
    """
    try:
        found = device_facts(namespace_fd)
        with NftSocket(namespace_fd) as opened:
            found = replace(found, may_write=_may_write())
            if not found.may_write:
                return found
            return replace(
                found,
                flowtables=flowtables(opened),
                chains=chains(opened, TABLE),
                mark_writers=mark_writers(opened, TABLE),
                unsupported=_refusal(opened),
            )
    except OSError as error:
        raise HostError(f"the node cannot be looked at: {error.strerror}") from error


def device_facts(namespace_fd: int | None = None) -> HostFacts:
    """Those that come and go with pods: devices, and whether filters see bridges. Cheap.

    Raises HostError, OSError.
    """

    def read() -> HostFacts:
        filters = frozenset(family for family, name in _BRIDGE.items() if _calls(name))
        return HostFacts(links(), filters)

    return read() if namespace_fd is None else netns.run_inside(namespace_fd, read)


def passing_facts(namespace_fd: int | None = None) -> HostFacts:
    """All that may keep packets from our rules and comes and goes. Cheap; needs the right to write
    rules.

    Raises HostError, NftError, OSError.
    """
    with NftSocket(namespace_fd) as opened:
        return replace(device_facts(namespace_fd), flowtables=flowtables(opened))


def foreign_facts(namespace_fd: int | None = None) -> HostFacts:
    """What others have in nftables. It takes as long as they have rules. Raises NftError."""
    with NftSocket(namespace_fd) as opened:
        return HostFacts(chains=chains(opened, TABLE), mark_writers=mark_writers(opened, TABLE))


def _calls(name: str) -> bool:
    try:
        path = Path(f"/proc/sys/net/bridge/bridge-nf-call-{name}")
        return path.read_text(encoding="ascii").strip() == "1"
    except OSError:  # without br_netfilter there is no such setting
        return False


def _may_write() -> bool:
    for line in Path("/proc/thread-self/status").read_text(errors="replace").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) & _CAP_NET_ADMIN)
    return True  # a kernel that does not say so is asked by writing


def _refusal(opened: NftSocket) -> str:
    """What the kernel says to the rules that every node has, "" when it takes them."""
    index = compile_cluster(Cluster.of(()))
    wanted = lower(index, LocalNode("tried"))
    # Without base chains: those are in the way of packets from the moment that they are named.
    objects = [replace(each, base=None) for each in wanted.chains.values()]
    table = Table(_TRIED, "for a moment, by podfence")
    tried = Ruleset.of(table, [*wanted.sets.values(), *wanted.maps.values(), *objects])
    steps = (*load(tried).operations, DeleteTable())
    try:
        NetlinkNft(opened, _TRIED).run(Transaction(table, steps))
    except NftError as error:
        return error.message
    return ""
