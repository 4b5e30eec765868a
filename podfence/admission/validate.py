"""The API server's checks when a NetworkPolicy is created.

Rule: same checks, order, field paths and texts as the server; nothing of our own. Metadata comes
first, then the pod selector, each ingress rule (ports, then peers), each egress rule, policyTypes.
Labels of one map are checked in the order of their keys (the server has no order there).
``metadata.managedFields`` is not looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from msgspec.structs import replace

from podfence.admission import validate_names as names
from podfence.admission.validate_cidr import canonical_cidr, cidr_complaints, parse_cidr
from podfence.errors import Problem, Severity

TOTAL_ANNOTATION_BYTES = 256 * 1024
_TYPES = {
    "Required value": "FieldValueRequired",
    "Invalid value": "FieldValueInvalid",
    "Unsupported value": "FieldValueNotSupported",
    "Forbidden": "FieldValueForbidden",
    "Too long": "FieldValueTooLong",
}
_NEED_VALUES = frozenset({"In", "NotIn"})
_REFUSE_VALUES = frozenset({"Exists", "DoesNotExist"})
_PROTOCOLS = ("TCP", "UDP", "SCTP")
_POLICY_TYPES = ("Ingress", "Egress")
_STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})

Json = Mapping[str, Any]
_NOTHING: Json = {}


def validate(manifest: Json, strict_cidrs: bool = True) -> list[Problem]:
    """Every error of the server about a NetworkPolicy with no field of a wrong type (PF203).

    ``metadata.name`` and ``metadata.namespace`` have to be filled in as the server does before it
    validates; unknown fields are ignored. ``Problem.message`` is the server's text, ``path`` its
    field, ``reason`` its cause.
    """
    problems = _metadata(manifest.get("metadata") or _NOTHING)
    spec = manifest.get("spec") or _NOTHING
    problems += _selector(spec.get("podSelector"), "spec.podSelector")
    problems += _rules(spec.get("ingress"), "spec.ingress", "from", strict_cidrs)
    problems += _rules(spec.get("egress"), "spec.egress", "to", strict_cidrs)
    problems += _policy_types(spec.get("policyTypes") or [])
    return problems


def cidr_warnings(manifest: Json, strict_cidrs: bool = True) -> Iterator[Problem]:
    """The server's warnings about CIDR texts that it accepts (PF206)."""
    for path, text in _cidrs(manifest.get("spec") or _NOTHING):
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
    if cidr.address != cidr.first:
        kind = IPv4Address if cidr.bits == 32 else IPv6Address
        single = f"{kind(cidr.address)}/{cidr.bits}"
        network = quote(str(cidr.network))
        yield (
            f"CIDR value {quote(text)} is ambiguous in this context "
            f"(should be {network} or {quote(single)}?)"
        )
    if cidr.padded or cidr.is_mapped:
        yield (
            f"non-standard CIDR value {quote(text)} will be considered invalid in a future "
            f"Kubernetes release: use {quote(str(cidr.network))}"
        )


def server_message(name: str, problems: Iterable[Problem]) -> str:
    """The text of the server's 422 answer for the validation errors among ``problems``."""
    texts = list(dict.fromkeys(problem.message for problem in problems if problem.code == "PF203"))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return f"NetworkPolicy.networking.k8s.io {quote(name)} is invalid: {listed}"


# ------------------------------------------------------------------------------ texts of errors

_PLAIN = r"[ !#-\[\]-~]*"
_ESCAPES = {
    '"': '\\"', "\\": "\\\\", "\a": "\\a", "\b": "\\b", "\f": "\\f",
    "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v",
}  # fmt: skip


def _escape(char: str) -> str:
    if char in _ESCAPES:
        return _ESCAPES[char]
    code = ord(char)
    if 0xD800 <= code <= 0xDFFF:
        return "\ufffd"  # what the server's JSON reader makes of half a surrogate pair
    if char.isprintable():
        return char
    return (
        f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"
    )


def quote(text: str) -> str:
    """A string in the server's quotes (Go's ``%q``)."""
    return f'"{text if re.fullmatch(_PLAIN, text) else "".join(map(_escape, text))}"'


def _printed(value: Any) -> str:
    if isinstance(value, str):
        return quote(value)
    import json

    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _error(kind: str, path: str, detail: str, *shown: str) -> Problem:
    text = ": ".join(filter(None, (path, kind, *shown, detail)))
    return Problem("PF203", Severity.ERROR, text, path=path, reason=_TYPES[kind])


def _required(path: str, detail: str = "") -> Problem:
    return _error("Required value", path, detail)


def _forbidden(path: str, detail: str) -> Problem:
    return _error("Forbidden", path, detail)


def _invalid(path: str, value: Any, *details: str) -> list[Problem]:
    return [_error("Invalid value", path, detail, _printed(value)) for detail in details]


def _unsupported(path: str, value: str, supported: Iterable[str]) -> Problem:
    known = ", ".join(map(quote, supported))
    return _error("Unsupported value", path, f"supported values: {known}", quote(value))


# ------------------------------------------------------------------------------------- metadata


def _metadata(metadata: Json) -> list[Problem]:
    problems = _names(metadata)
    generation = metadata.get("generation") or 0
    if generation < 0:
        path = "metadata.generation"
        problems += _invalid(path, generation, "must be greater than or equal to 0")
    problems += _labels(metadata.get("labels"), "metadata.labels")
    if annotations := metadata.get("annotations"):
        problems += _annotations(annotations)
    if references := metadata.get("ownerReferences"):
        problems += _owner_references(references)
    if finalizers := metadata.get("finalizers"):
        problems += _finalizers(finalizers)
    return problems


def _names(metadata: Json) -> list[Problem]:
    problems: list[Problem] = []
    if prefix := metadata.get("generateName"):
        problems += _invalid("metadata.generateName", prefix, *names.generate_name(prefix))
    if name := metadata.get("name"):
        problems += _invalid("metadata.name", name, *names.dns_subdomain(name))
    else:
        problems.append(_required("metadata.name", "name or generateName is required"))
    if namespace := metadata.get("namespace"):
        problems += _invalid("metadata.namespace", namespace, *names.namespace_name(namespace))
    else:
        problems.append(_required("metadata.namespace"))
    return problems


def _labels(labels: Json | None, path: str) -> list[Problem]:
    if not labels:
        return []
    problems: list[Problem] = []
    for key, value in sorted(labels.items()):
        text = value or ""
        if complaints := names.label_key(key):
            problems += _invalid(path, key, *complaints)
        if complaints := names.label_value(text):
            problems += _invalid(path, text, *complaints)
    return problems


def _annotations(annotations: Json) -> list[Problem]:
    path = "metadata.annotations"
    problems: list[Problem] = []
    for key in sorted(annotations):
        problems += _invalid(path, key, *names.label_key(key.lower()))
    size = sum(names.byte_length(k) + names.byte_length(v or "") for k, v in annotations.items())
    if size > TOTAL_ANNOTATION_BYTES:
        detail = f"may not be more than {TOTAL_ANNOTATION_BYTES} bytes"
        problems.append(_error("Too long", path, detail))
    return problems


def _owner_references(references: list[Json | None]) -> list[Problem]:
    path = "metadata.ownerReferences"
    problems: list[Problem] = []
    controllers: list[str] = []
    for reference in (item or _NOTHING for item in references):
        problems += _owner_reference(reference, path)
        if reference.get("controller"):
            controllers.append(f"{reference.get('kind') or ''}/{reference.get('name') or ''}")
    for other in controllers[1:]:
        detail = (
            'Only one reference can have Controller set to true. Found "true" in references for '
            f"{controllers[0]} and {other}"
        )
        problems += _invalid(path, references, detail)
    return problems


def _owner_reference(reference: Json, path: str) -> list[Problem]:
    problems: list[Problem] = []
    api_version = reference.get("apiVersion") or ""
    if not api_version.rpartition("/")[2]:
        problems += _invalid(f"{path}.apiVersion", api_version, "version must not be empty")
    for field in ("kind", "name", "uid"):
        if not reference.get(field):
            problems += _invalid(f"{path}.{field}", "", "must not be empty")
    return problems


def _finalizers(finalizers: list[str | None]) -> list[Problem]:
    path = "metadata.finalizers"
    problems: list[Problem] = []
    texts = [text or "" for text in finalizers]
    for text in texts:
        problems += _invalid(path, text, *names.label_key(text))
    if {"orphan", "foregroundDeletion"} <= set(texts):
        detail = "finalizer orphan and foregroundDeletion cannot be both set"
        problems += _invalid(path, texts, detail)
    for index, text in enumerate(texts):
        if "/" not in text and text not in _STANDARD_FINALIZERS:
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            problems += _invalid(f"{path}[{index}]", text, detail)
    return problems


# ------------------------------------------------------------------------------------ selectors


def _selector(selector: Json | None, path: str) -> list[Problem]:
    if not selector:
        return []
    problems = _labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, requirement in enumerate(selector.get("matchExpressions") or ()):
        problems += _requirement(requirement or _NOTHING, f"{path}.matchExpressions[{index}]")
    return problems


def _requirement(requirement: Json, path: str) -> list[Problem]:
    values = requirement.get("values") or ()
    problems = _operator(requirement.get("operator") or "", bool(values), path)
    key = requirement.get("key") or ""
    if complaints := names.label_key(key):
        problems += _invalid(f"{path}.key", key, *complaints)
    for index, value in enumerate(values):
        text = value or ""
        if complaints := names.label_value(text):
            problems += _invalid(f"{path}.values[{index}]", text, *complaints)
    return problems


def _operator(operator: str, has_values: bool, path: str) -> list[Problem]:
    if operator in _NEED_VALUES:
        detail = "must be specified when `operator` is 'In' or 'NotIn'"
        return [] if has_values else [_required(f"{path}.values", detail)]
    if operator in _REFUSE_VALUES:
        detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
        return [_forbidden(f"{path}.values", detail)] if has_values else []
    return _invalid(f"{path}.operator", operator, "not a valid selector operator")


# ---------------------------------------------------------------------------------------- rules


def _rules(
    rules: list[Json | None] | None, path: str, peers: str, strict_cidrs: bool
) -> list[Problem]:
    problems: list[Problem] = []
    for index, rule in enumerate(rules or ()):
        if not rule:
            continue
        here = f"{path}[{index}]"
        for number, port in enumerate(rule.get("ports") or ()):
            if port:
                problems += _port(port, f"{here}.ports[{number}]")
        for number, peer in enumerate(rule.get(peers) or ()):
            problems += _peer(peer or _NOTHING, f"{here}.{peers}[{number}]", strict_cidrs)
    return problems


def _port(port: Json, path: str) -> list[Problem]:
    problems: list[Problem] = []
    protocol = port.get("protocol")
    if protocol is not None and protocol not in _PROTOCOLS:
        problems.append(_unsupported(f"{path}.protocol", protocol, _PROTOCOLS))
    number, end = port.get("port"), port.get("endPort")
    if isinstance(number, int) and (complaints := names.port_number(number)):
        problems += _invalid(f"{path}.port", number, *complaints)
    if end is not None:
        problems += _end_port(number, end, f"{path}.endPort")
    if isinstance(number, str) and (complaints := names.port_name(number)):
        problems += _invalid(f"{path}.port", number, *complaints)
    return problems


def _end_port(port: int | str | None, end: int, path: str) -> list[Problem]:
    if port is None:
        return _invalid(path, end, "may not be specified when `port` is not specified")
    if isinstance(port, str):
        return _invalid(path, end, "may not be specified when `port` is non-numeric")
    below = ("must be greater than or equal to `port`",) if end < port else ()
    return _invalid(path, end, *below, *names.port_number(end))


def _peer(peer: Json, path: str, strict_cidrs: bool) -> list[Problem]:
    problems: list[Problem] = []
    pods, namespaces = peer.get("podSelector"), peer.get("namespaceSelector")
    block = peer.get("ipBlock")
    problems += _selector(pods, f"{path}.podSelector")
    problems += _selector(namespaces, f"{path}.namespaceSelector")
    has_selector = pods is not None or namespaces is not None
    if block is not None:
        problems += _ip_block(block, f"{path}.ipBlock", strict_cidrs)
        if has_selector:
            problems.append(_forbidden(path, "may not specify both ipBlock and another peer"))
    elif not has_selector:
        problems.append(_required(path, "must specify a peer"))
    return problems


def _ip_block(block: Json, path: str, strict_cidrs: bool) -> list[Problem]:
    text = block.get("cidr") or ""
    if not text:
        return [_required(f"{path}.cidr")]
    problems = _cidr(text, f"{path}.cidr", strict_cidrs)
    if parse_cidr(text) is None:
        return problems
    for index, excepted in enumerate(block.get("except") or ()):
        problems += _except(text, excepted or "", f"{path}.except[{index}]", strict_cidrs)
    return problems


def _cidr(text: str, path: str, strict: bool) -> list[Problem]:
    """A text that can be read means the masked block (NP-29), whether it is refused or not."""
    problems = _invalid(path, text, *cidr_complaints(text))
    if parse_cidr(text) is None:
        return problems
    return [replace(problem, refused_only=True) for problem in problems if strict]


def _except(cidr: str, text: str, path: str, strict_cidrs: bool) -> list[Problem]:
    problems = _cidr(text, path, strict_cidrs)
    outer, inner = parse_cidr(cidr), parse_cidr(text)
    if outer is None or inner is None:
        return problems
    if not outer.contains(inner) or outer.length >= inner.length:
        problems += _invalid(path, text, "must be a strict subset of `cidr`")
    return problems


def _cidrs(spec: Json) -> Iterator[tuple[str, str | None]]:
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for i, rule in enumerate(spec.get(direction) or ()):
            for j, peer in enumerate((rule or _NOTHING).get(peers) or ()):
                if block := (peer or _NOTHING).get("ipBlock"):
                    path = f"spec.{direction}[{i}].{peers}[{j}].ipBlock"
                    yield f"{path}.cidr", block.get("cidr")
                    for k, excepted in enumerate(block.get("except") or ()):
                        yield f"{path}.except[{k}]", excepted


def _policy_types(types: list[str | None]) -> list[Problem]:
    if len(types) > len(_POLICY_TYPES):
        shown = [text or "" for text in types]
        return _invalid("spec.policyTypes", shown, "may not specify more than two policyTypes")
    return [
        _unsupported(f"spec.policyTypes[{index}]", text or "", _POLICY_TYPES)
        for index, text in enumerate(types)
        if text not in _POLICY_TYPES
    ]
