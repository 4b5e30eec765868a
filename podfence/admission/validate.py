"""The API server's checks when a NetworkPolicy is created.

Rule: same checks, order, field paths and texts as the server; nothing of our own. Metadata comes
first, then the pod selector, each ingress rule (ports, then peers), each egress rule, policyTypes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from podfence.admission import validate_names as names
from podfence.admission.refusals import forbidden, in_json, invalid, quote, required, unsupported
from podfence.admission.schema import NOTHING, Json
from podfence.admission.validate_cidr import canonical_cidr, cidr_complaints, parse_cidr
from podfence.admission.validate_metadata import metadata_refusals, selector_refusals
from podfence.errors import Problem, Severity

_PROTOCOLS = ("TCP", "UDP", "SCTP")
_POLICY_TYPES = ("Ingress", "Egress")


def validate(manifest: Json, strict_cidrs: bool = True) -> list[Problem]:
    """Every error of the server about a NetworkPolicy with no field of a wrong type (PF203).

    ``metadata.name`` and ``metadata.namespace`` have to be filled in as the server does before it
    validates; unknown fields are ignored. ``Problem.message`` is the server's text, ``path`` its
    field, ``reason`` its cause.
    """
    metadata = manifest.get("metadata") or NOTHING
    problems = metadata_refusals(metadata, namespaced=True, built_in=True)
    spec = manifest.get("spec") or NOTHING
    problems += selector_refusals(spec.get("podSelector"), "spec.podSelector")
    problems += _rules(spec.get("ingress"), "spec.ingress", "from", strict_cidrs)
    problems += _rules(spec.get("egress"), "spec.egress", "to", strict_cidrs)
    problems += policy_type_refusals(spec.get("policyTypes") or [])
    return problems


def cidr_warnings(manifest: Json, strict_cidrs: bool = True) -> Iterator[Problem]:
    """The server's warnings about CIDR texts that it accepts (PF206)."""
    for path, text in _cidrs(manifest.get("spec") or NOTHING):
        said = list(_lenient_warnings(text)) if text and not strict_cidrs else []
        if text and not said and (canonical := canonical_cidr(text)):
            form = f"should be in RFC 5952 canonical format ({quote(canonical)})"
            said = [f"IPv6 CIDR value {quote(text)} {form}"]
        for message in said:
            yield Problem("PF206", Severity.WARNING, f"{path}: {message}", path=path)


def _lenient_warnings(text: str) -> Iterator[str]:
    """What servers before 1.36 say of a CIDR that later ones refuse."""
    cidr = parse_cidr(text)
    if cidr is None:
        return
    network, single = map(quote, cidr.shown)
    if cidr.address != cidr.first:
        yield (
            f"CIDR value {quote(text)} is ambiguous in this context "
            f"(should be {network} or {single}?)"
        )
    if cidr.padded or cidr.is_mapped:
        yield (
            f"non-standard CIDR value {quote(text)} will be considered invalid in a future "
            f"Kubernetes release: use {network}"
        )


# ---------------------------------------------------------------------------------------- rules


def _rules(
    rules: list[Json | None] | None, path: str, peers: str, strict_cidrs: bool
) -> list[Problem]:
    problems: list[Problem] = []
    for index, rule in enumerate(rules or ()):
        if not rule:
            continue
        here = f"{path}[{index}]"
        problems += port_refusals(rule.get("ports") or (), f"{here}.ports")
        problems += peer_refusals(rule.get(peers) or (), f"{here}.{peers}", strict_cidrs)
    return problems


def port_refusals(ports: Iterable[Json | None], path: str) -> list[Problem]:
    """Everything against the ports of one rule."""
    problems: list[Problem] = []
    for number, port in enumerate(ports):
        if port:
            problems += _port(port, f"{path}[{number}]")
    return problems


def peer_refusals(
    peers: Iterable[Json | None], path: str, strict_cidrs: bool = True
) -> list[Problem]:
    """Everything against the peers of one rule."""
    problems: list[Problem] = []
    for number, peer in enumerate(peers):
        problems += _peer(peer or NOTHING, f"{path}[{number}]", strict_cidrs)
    return problems


def _port(port: Json, path: str) -> list[Problem]:
    problems: list[Problem] = []
    protocol = port.get("protocol")
    if protocol is not None and protocol not in _PROTOCOLS:
        problems.append(unsupported(f"{path}.protocol", in_json(protocol), _PROTOCOLS))
    number, end = port.get("port"), port.get("endPort")
    if isinstance(number, int) and (complaints := names.port_number(number)):
        problems += invalid(f"{path}.port", number, *complaints)
    if end is not None:
        problems += _end_port(number, end, f"{path}.endPort")
    if isinstance(number, str) and (complaints := names.port_name(number)):
        problems += invalid(f"{path}.port", number, *complaints)
    return problems


def _end_port(port: int | str | None, end: int, path: str) -> list[Problem]:
    if port is None:
        return invalid(path, end, "may not be specified when `port` is not specified")
    if isinstance(port, str):
        return invalid(path, end, "may not be specified when `port` is non-numeric")
    below = ("must be greater than or equal to `port`",) if end < port else ()
    return invalid(path, end, *below, *names.port_number(end))


def _peer(peer: Json, path: str, strict_cidrs: bool) -> list[Problem]:
    problems: list[Problem] = []
    pods, namespaces = peer.get("podSelector"), peer.get("namespaceSelector")
    block = peer.get("ipBlock")
    problems += selector_refusals(pods, f"{path}.podSelector")
    problems += selector_refusals(namespaces, f"{path}.namespaceSelector")
    has_selector = pods is not None or namespaces is not None
    if block is not None:
        problems += _ip_block(block, f"{path}.ipBlock", strict_cidrs)
        if has_selector:
            problems.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not has_selector:
        problems.append(required(path, "must specify a peer"))
    return problems


def _ip_block(block: Json, path: str, strict_cidrs: bool) -> list[Problem]:
    text = block.get("cidr") or ""
    if not text:
        return [required(f"{path}.cidr")]
    problems = _cidr(text, f"{path}.cidr", strict_cidrs)
    if parse_cidr(text) is None:
        return problems
    for index, excepted in enumerate(block.get("except") or ()):
        problems += _except(text, excepted or "", f"{path}.except[{index}]", strict_cidrs)
    return problems


def _cidr(text: str, path: str, strict: bool) -> list[Problem]:
    """A text that can be read means the masked block (NP-29), whether it is refused or not."""
    problems = invalid(path, text, *cidr_complaints(text))
    if parse_cidr(text) is None:
        return problems
    return [replace(problem, refused_only=True) for problem in problems if strict]


def _except(cidr: str, text: str, path: str, strict_cidrs: bool) -> list[Problem]:
    problems = _cidr(text, path, strict_cidrs)
    outer, inner = parse_cidr(cidr), parse_cidr(text)
    if outer is None or inner is None:
        return problems
    if not outer.contains(inner) or outer.length >= inner.length:
        problems += invalid(path, text, "must be a strict subset of `cidr`")
    return problems


def _cidrs(spec: Json) -> Iterator[tuple[str, str | None]]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction) or ()):
            for j, peer in enumerate((rule or NOTHING).get(peers) or ()):
                if block := (peer or NOTHING).get("ipBlock"):
                    path = f"spec.{direction}[{i}].{peers}[{j}].ipBlock"
                    yield f"{path}.cidr", block.get("cidr")
                    for k, excepted in enumerate(block.get("except") or ()):
                        yield f"{path}.except[{k}]", excepted


def policy_type_refusals(types: list[str | None]) -> list[Problem]:
    """Everything against ``spec.policyTypes``."""
    if len(types) > len(_POLICY_TYPES):
        shown = [text or "" for text in types]
        return invalid("spec.policyTypes", shown, "may not specify more than two policyTypes")
    return [
        unsupported(f"spec.policyTypes[{index}]", in_json(text or ""), _POLICY_TYPES)
        for index, text in enumerate(types)
        if text not in _POLICY_TYPES
    ]
