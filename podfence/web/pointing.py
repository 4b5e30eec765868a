"""The pods that the selector at a line of a text matches, while it is being typed.

Rule: labels are compared as they are written, on the pods of the input, so a selector need not
occur in any policy. A text that cannot be read gives no answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import Struct

from podfence.errors import Problem, Severity
from podfence.manifests.inputfiles import InputFile
from podfence.manifests.load import Loaded, load_files
from podfence.model.cluster import Cluster, Policy
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy, Peer, Subject, TierRule
from podfence.model.meta import DEFAULT_NAMESPACE
from podfence.model.networkpolicy import NetworkPolicyPeer, NetworkPolicyRule
from podfence.model.selectors import LabelSelector
from podfence.policy.addressblocks import ip_block
from podfence.policy.flow import Direction
from podfence.questions.describe import peer_path

_FILE = "-"
_EVERYTHING = LabelSelector()


class PointedSelector(Struct, frozen=True):
    """``path``: of the selector or the peer in ``policy``. ``pods``: ``namespace/name`` of those
    that it selects; ``networks``: the addresses of an ipBlock."""

    policy: str
    path: str
    pods: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()


class _Selected(Struct, frozen=True):
    path: str
    pods: LabelSelector = _EVERYTHING
    namespaces: LabelSelector | None = None
    """None: the namespace of the policy only; for a policy of the cluster tiers, every one."""
    networks: tuple[str, ...] = ()


def pointed(cluster: Cluster, text: str, line: int, namespace: str = "") -> PointedSelector | None:
    """``line`` from 1; ``namespace``: of objects that name none. None if there is no selector."""
    document, at = _document(text, line)
    own = namespace or DEFAULT_NAMESPACE
    loaded = load_files([InputFile(_FILE, document)], [_FILE], namespace=own)
    policies: tuple[Policy, ...] = (*loaded.cluster.policies, *loaded.cluster.admin_policies)
    for policy in policies:
        for each in _selected(policy):
            if _holds(loaded, policy, each.path, at):
                pods = () if each.networks else tuple(_pods(cluster, policy, each))
                return PointedSelector(str(policy.ref), each.path, pods, each.networks)
    return None


def _document(text: str, line: int) -> tuple[str, int]:
    """The document of a text that contains a line, and the line's number in it."""
    lines = text.split("\n")
    start = max((n for n in range(min(line, len(lines))) if _parts(lines[n])), default=-1) + 1
    end = next((n for n in range(start, len(lines)) if _parts(lines[n])), len(lines))
    return "\n".join(lines[start:end]), line - start


def _parts(line: str) -> bool:
    return line.rstrip() == "---" or line.startswith("--- ")


def _holds(loaded: Loaded, policy: Policy, path: str, line: int) -> bool:
    """Whether a field is on a line."""
    field = Problem("", Severity.NOTE, "", policy.source, path, object=str(policy.ref))
    start = loaded.positions.locate_problem(field)
    end = loaded.positions.end_of_problem(field)
    return start is not None and end is not None and start.line <= line <= end.line


def _selected(policy: Policy) -> Iterator[_Selected]:
    if isinstance(policy, ClusterNetworkPolicy):
        yield from _of_admin(policy.subject, "spec.subject")
    else:
        yield _Selected("spec.podSelector", policy.pod_selector)
    sides: tuple[tuple[Direction, Sequence[TierRule | NetworkPolicyRule]], ...] = (
        (Direction.INGRESS, policy.ingress),
        (Direction.EGRESS, policy.egress),
    )
    for direction, rules in sides:
        for at, rule in enumerate(rules):
            peers: Sequence[Peer | NetworkPolicyPeer] = rule.peers
            for number, peer in enumerate(peers):
                path = peer_path(direction, at, number)
                if isinstance(peer, Peer):
                    yield from _of_admin(peer, path)
                else:
                    yield _of_peer(peer, path)


def _of_admin(of: Subject | Peer, path: str) -> Iterator[_Selected]:
    """None for anything else than a pod selector or a block."""
    if of.pods is not None:
        yield _Selected(path, of.pods.pod_selector, of.pods.namespace_selector)
    elif of.namespaces is not None:
        yield _Selected(path, namespaces=of.namespaces)
    elif isinstance(of, Peer) and of.networks:
        yield _Selected(path, networks=tuple(map(str, of.networks)))


def _of_peer(peer: NetworkPolicyPeer, path: str) -> _Selected:
    if peer.ip_block is not None:
        networks = ip_block(peer.ip_block).addresses.networks()
        return _Selected(path, networks=tuple(map(str, networks)))
    return _Selected(path, peer.pod_selector or _EVERYTHING, peer.namespace_selector)


def _pods(cluster: Cluster, policy: Policy, selected: _Selected) -> Iterator[str]:
    own = policy.ref.namespace
    for pod in cluster.pods:
        if selected.namespaces is None:
            if own and pod.namespace != own:
                continue
        elif not selected.namespaces.matches(dict(cluster.namespaces[pod.namespace].labels)):
            continue
        if selected.pods.matches(dict(pod.labels)):
            yield f"{pod.namespace}/{pod.name}"
