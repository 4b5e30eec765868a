"""The parts of a policy in plain words: selectors, peers, ports.

Rule: every phrase is exact. Alternatives are never joined by a word that could also mean "and". The
phrase states what a selector does not reach (other namespaces, addresses outside). No pod is looked
at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from podfence.model.meta import METADATA_NAME_LABEL
from podfence.model.networkpolicy import IPBlock, NetworkPolicyPeer, NetworkPolicyPort
from podfence.model.selectors import LabelSelector, LabelSelectorRequirement, Operator
from podfence.sets import PortSet

EVERYONE = "everyone: every pod, every node and every address outside the cluster"
"""A rule without peers (NP-12)."""
EVERY_PORT = "on every port of every protocol"
"""A rule without ports (NP-13)."""


def listed(items: Sequence[str], word: str = "and") -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    if len(items) < 2:
        return "".join(items)
    return f"{', '.join(items[:-1])} {word} {items[-1]}"


def some(items: Sequence[str], shown: int, last: str = " and ") -> str:
    """``a, b and c``, or ``a, b, c and 7 more`` for more than ``shown``. ``last`` goes before the
    last item of a list that is not cut."""
    if len(items) > shown:
        return f"{', '.join(items[:shown])} and {len(items) - shown} more"
    return last.join(filter(None, (", ".join(items[:-1]), *items[-1:])))


def count(number: int, noun: str) -> str:
    """``1 pod``, ``2 pods``; ``policy`` becomes ``policies``."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def _value(text: str) -> str:
    return text or '""'


def _label(key: str, value: str) -> str:
    return f"{key}={_value(value)}"


def _requirement(requirement: LabelSelectorRequirement) -> str:
    key = requirement.key
    values = [_value(value) for value in dict.fromkeys(requirement.values)]
    if requirement.operator is Operator.IN:
        return f"whose label {key} is {listed(values, 'or')}"
    if requirement.operator is Operator.NOT_IN:
        return f"whose label {key} is missing or other than {listed(values, 'and')}"
    return f"{'with' if requirement.operator is Operator.EXISTS else 'without'} a label {key}"


def conditions(selector: LabelSelector) -> str:
    """What a selector demands, to follow a noun: ``labelled app=web and with a label tier``."""
    labels = [_label(key, value) for key, value in selector.match_labels]
    parts = [f"labelled {listed(labels)}"] if labels else []
    parts.extend(_requirement(requirement) for requirement in selector.match_expressions)
    return listed(parts)


def pods(selector: LabelSelector) -> str:
    """``every pod`` or ``pods labelled ...``."""
    return "every pod" if selector.selects_everything else f"pods {conditions(selector)}"


def namespace_names(selector: LabelSelector) -> tuple[str, ...]:
    """Names, if the selector asks for nothing but the automatic name label (NP-21)."""
    if len(selector.match_labels) + len(selector.match_expressions) != 1:
        return ()
    for key, value in selector.match_labels:
        return (value,) if key == METADATA_NAME_LABEL else ()
    [requirement] = selector.match_expressions
    named = requirement.key == METADATA_NAME_LABEL and requirement.operator is Operator.IN
    return requirement.values if named else ()


def namespaces(selector: LabelSelector) -> str:
    """``any namespace``, ``namespace shop`` or ``a namespace labelled ...``."""
    if selector.selects_everything:
        return "any namespace"
    names = namespace_names(selector)
    return f"namespace {listed(names, 'or')}" if names else f"a namespace {conditions(selector)}"


def block(value: IPBlock) -> str:
    """``addresses in 10.0.0.0/8 except 10.1.0.0/16``; the family that is left out is named."""
    if value.cidr.prefixlen == 0:
        other = 6 if value.cidr.version == 4 else 4
        text = f"every IPv{value.cidr.version} address (no IPv{other})"
    elif value.cidr.num_addresses == 1:
        text = f"the address {value.cidr.network_address}"
    else:
        text = f"addresses in {value.cidr}"
    excepted = [str(network) for network in value.except_]
    return f"{text} except those in {listed(excepted, 'and')}" if excepted else text


def peer(value: NetworkPolicyPeer, namespace: str) -> str:
    """One item of ``from``/``to`` of a policy in ``namespace`` (NP-16..NP-23)."""
    if value.ip_block is not None:
        return block(value.ip_block)
    pod_selector = value.pod_selector or LabelSelector()
    if value.namespace_selector is None:
        return f"{pods(pod_selector)} in this namespace ({namespace}) only"
    where = namespaces(value.namespace_selector)
    if pod_selector.selects_everything:
        outside = ", but nothing outside the cluster" if where == "any namespace" else ""
        return f"every pod in {where}{outside}"
    if value.namespace_selector.selects_everything:
        return f"pods {conditions(pod_selector)}, in any namespace"
    return f"pods that meet both conditions: {conditions(pod_selector)}, and in {where}"


def port(value: NetworkPolicyPort) -> str:
    """``TCP port 80``, ``TCP ports 8000 to 8100``, ``every UDP port``, ``the TCP port named
    http``."""
    protocol = value.protocol.value
    if value.port is None:
        return f"every {protocol} port"
    if isinstance(value.port, str):
        return f"the {protocol} port named {value.port}"
    if value.end_port is None or value.end_port == value.port:
        return f"{protocol} port {value.port}"
    return f"{protocol} ports {value.port} to {value.end_port}"


def ports(phrases: Iterable[str]) -> str:
    """``on A``, ``on A or B``; without phrases every port of every protocol."""
    listing = list(phrases)
    return f"on {listed(listing, 'or')}" if listing else EVERY_PORT


# -- How closely a rule misses a flow, in words
# Rule: one wording for every reader (``why``, ``drops``). Peers are named by their field paths,
# ports by numbers, so nothing needs escaping.


def near_miss(path: str, peer_paths: Sequence[str], ports: PortSet, *, port_fits: bool) -> str:
    """What of an accepting rule fits and what does not; "" where neither does. ``path``: of the
    rule; ``peer_paths``: of the peers that fit, the rule's own where it has no peers."""
    if peer_paths and not port_fits:
        peers = "everyone" if tuple(peer_paths) == (path,) else ", ".join(peer_paths)
        only = f"only {ports}" if ports else "no port"
        return f"near miss: the peer fits ({peers}), but it allows {only}"
    if peer_paths:
        return f"near miss: the peer fits, but not on this port ({', '.join(peer_paths)})"
    if port_fits:
        return f"near miss: the port fits ({ports}), but no peer does"
    return ""
