"""What the server says of an object, what podfence says of it, and where the two differ.

Rule: equal means accepted or refused alike, and every word of the server is among podfence's. Where
the server looks at everything (422), podfence says nothing else; where it stops early (400),
podfence goes on, and may say more.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from msgspec import Struct
from msgspec.structs import replace

from podfence.admission.channel import experimental_fields
from podfence.admission.decode import decode
from podfence.errors import Problem, Severity, Source
from podfence.model.clusternetworkpolicy import ClusterNetworkPolicy
from tests.apiserver.client import Answer, Client

DRY_RUN = "?fieldValidation=Strict&dryRun=All"
SOURCE = Source("object")
RESOURCES = {
    "NetworkPolicy": "networkpolicies",
    "ClusterNetworkPolicy": "clusternetworkpolicies",
    "Namespace": "namespaces",
    "Node": "nodes",
    "Pod": "pods",
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "Deployment": "deployments",
    "StatefulSet": "statefulsets",
    "DaemonSet": "daemonsets",
    "ReplicaSet": "replicasets",
    "Job": "jobs",
    "CronJob": "cronjobs",
}
CLUSTER_SCOPED = frozenset({"Namespace", "Node", "ClusterNetworkPolicy"})
_STRICT = "strict decoding error: "
_UNKNOWN = re.compile(r"unknown field \"(.*)\"", re.DOTALL)
_HANDLED = re.compile(r'\w+ in version "[^"]*" cannot be handled as a \w+: (.*)', re.DOTALL)
_REMARK = "<nil>: "
"""How remarks about the validation itself begin, which are no errors of their own."""
_UNCHECKED = "some validation rules were not checked because the object was invalid"
"""Of a CRD: its rules are judged where its types are right."""
_ODD_KEY = re.compile(r"\[(?!\d+\])(\"?)(.*?)\1\]")
_GENERATED = re.compile(r'^(metadata\.name: Invalid value: ".*).{5}(?=": )', re.DOTALL)
"""Five letters of a generated name are random."""
_HUGE = re.compile(r"(?<=cannot unmarshal number )(?:-?\d{19,}|\S+e\+\d+)")
"""In the metadata of custom resources numbers of more than 64 bits are rounded before."""
_EXPERIMENTAL = (".nodes", ".domainNames", ".destinationNamedPort")


class Said(Struct, frozen=True):
    """``texts`` are the server's words: ``field: what is wrong`` or a fault of decoding.

    ``complete``: whether they are all that is wrong. ``mistyped``: paths of values of a wrong type,
    as far as podfence says it; ``elsewhere``: texts of the standard channel.
    """

    accepted: bool
    texts: frozenset[str] = frozenset()
    warnings: frozenset[str] = frozenset()
    complete: bool = True
    mistyped: frozenset[str] = frozenset()
    elsewhere: frozenset[str] = frozenset()


def path_of(body: dict[str, Any]) -> str:
    """Where kubectl would send an object."""
    version, kind = body["apiVersion"], body["kind"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    if kind in CLUSTER_SCOPED:
        return f"{root}/{RESOURCES[kind]}"
    metadata = body.get("metadata")
    namespace = metadata.get("namespace") if isinstance(metadata, dict) else None
    named = namespace if isinstance(namespace, str) and namespace else "default"
    return f"{root}/namespaces/{quote(named, safe='', errors='replace')}/{RESOURCES[kind]}"


def ask(client: Client, body: dict[str, Any]) -> Answer:
    """The server's answer to an object, which it does not store."""
    return client.request("POST", path_of(body) + DRY_RUN, body)


def server_said(answer: Answer) -> Said:
    """An answer, as words."""
    if answer.status < 300:
        return Said(True, warnings=frozenset(answer.warnings))
    causes = (answer.body.get("details") or {}).get("causes") or []
    if answer.status == 422 and causes:
        texts = [f"{cause['field']}: {cause['message']}" for cause in causes]
        errors = frozenset(text for text in texts if not text.startswith(_REMARK))
        return Said(False, errors, complete=not any(_UNCHECKED in text for text in texts))
    if answer.status == 404:  # an address cannot hold this name of a namespace
        return Said(False, complete=False)
    handled = _HANDLED.match(answer.message)
    message = handled[1] if handled else answer.message
    if message.startswith(_STRICT):
        return Said(False, frozenset(_unknown_fields(message)), complete=False)
    return Said(False, frozenset({message}), complete=False)


def _unknown_fields(text: str) -> list[str]:
    """``unknown field "a", unknown field "b"``: names may hold anything, also quotes."""
    parts = re.split(r', (?=unknown field ")', text.removeprefix(_STRICT))
    return [f"{_STRICT}{part}" for part in parts]


def judge(body: dict[str, Any]) -> Said:
    """What ``check`` would say of an object; hints included."""
    decoded = decode(body, SOURCE)
    errors = [p for p in decoded.problems if p.severity is Severity.ERROR]
    warnings = [p for p in decoded.problems if p.code == "PF206"]
    fields: list[Problem] = []
    for value in decoded.objects:
        if isinstance(value, ClusterNetworkPolicy):
            fields += experimental_fields(value)
    return Said(
        not errors,
        _texts(errors),
        _texts(warnings),
        mistyped=frozenset(_ODD_KEY.sub(r".\2", p.path) for p in errors if p.code == "PF202"),
        elsewhere=frozenset(p.message.partition("the server says: ")[2] for p in fields),
    )


def in_standard_channel(said: Said) -> Said:
    """The same where the standard channel is installed: ``check`` has warned of it (PF212)."""
    if not said.accepted or not said.elsewhere:
        return said
    return replace(said, accepted=False, texts=said.elsewhere)


def _texts(problems: list[Problem]) -> frozenset[str]:
    return frozenset(problem.message for problem in problems)


def says(ours: str, servers: str) -> bool:
    """Whether a text of ours is the server's, with or without a hint behind it."""
    ours, servers = (_HUGE.sub("", _GENERATED.sub(r"\1", text)) for text in (ours, servers))
    return ours == servers or ours.startswith(f"{servers}; ")


def differences(server: Said, ours: Said) -> list[str]:
    """A line for each difference; none where both say the same."""
    if server.accepted != ours.accepted:
        texts = sorted(server.texts or ours.texts)
        return [f"{'podfence' if server.accepted else 'the server'} alone refuses it: {texts}"]
    if server.accepted:  # otherwise the server does not warn
        warned = frozenset(text for text in server.warnings if text.startswith("spec."))
        return _apart(warned, ours.warnings, complete=True)
    said = frozenset(text for text in server.texts if not _is_known(text, ours))
    return _apart(said, ours.texts, server.complete)


def _is_known(text: str, ours: Said) -> bool:
    """Whether docs/server-differences.md has it: what follows from a wrong type, and further
    fields that the standard channel lacks.
    """
    unknown = _UNKNOWN.search(text)
    path = unknown[1] if unknown else text.partition(": ")[0]
    if any(path == at or path.startswith((f"{at}.", f"{at}[")) for at in ours.mistyped):
        return True
    return unknown is not None and path.endswith(_EXPERIMENTAL)


def _apart(servers: frozenset[str], ours: frozenset[str], complete: bool) -> list[str]:
    found = [
        f"the server alone says: {text}"
        for text in sorted(servers)
        if not any(says(our, text) for our in ours)
    ]
    if complete:
        found += [
            f"podfence alone says: {text}"
            for text in sorted(ours)
            if not any(says(text, theirs) for theirs in servers)
        ]
    return found
