"""The settings of one ``podfence.toml`` out of its tables.

Rule: an unknown key is an error, so that a misspelt key cannot go unnoticed; every error names the
key.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from podfence.cli.settings import ClusterSettings, PlanSettings, Settings, TestSettings
from podfence.errors import PodfenceError, Severity
from podfence.likeness import similar
from podfence.model.entries import Controllers
from podfence.model.meta import Labels, labels_of
from podfence.questions.lint.surroundings import ClusterDns
from podfence.questions.plan.gate import FailOn
from podfence.sets.addresses import IPAddress, IPNetwork

if TYPE_CHECKING:
    from podfence.questions.lint.findings import LintRule

_KEYS = ("fail-on", "ignore", "metadata-allowed", "paths", "severity", "shared")
_CLUSTER_KEYS = (
    "api-server",
    "dns",
    "ingress-controllers",
    "plugin",
    "pod-cidrs",
    "service-cidrs",
    "tenant-label",
)
_DNS_KEYS = ("node-local", "pods")
_INPUT_KEYS = ("partial",)
_PLAN_KEYS = ("fail-on", "flows")
_TEST_KEYS = ("files", "score", "touched")
_TABLES = {
    "check.severity": 'severity = { PF331 = "error" }',
    "check.paths": '[check.paths."examples/**"]',
    "cluster.ingress-controllers": (
        'ingress-controllers = { nginx = "ingress-nginx/app.kubernetes.io/name=ingress-nginx" }'
    ),
    "cluster.dns": 'dns = { pods = "kube-system/k8s-app=kube-dns" }',
}
"""How a table is written, where its heading is not the usual way."""
_WEIGHTS = {each.value: each for each in Severity}


def _codes() -> Mapping[str, LintRule]:
    """The codes of ``check``. They are imported only where a file names codes, because other
    commands read settings too."""
    from podfence.questions.lint.findings import LINT_RULES

    return LINT_RULES


def _code_of(name: str) -> str:
    """The code that a word means; imported late, as in ``_codes``."""
    from podfence.questions.lint.findings import code_of

    return code_of(name)


class SettingsReader:
    """Reads one file; every error message names the key."""

    def __init__(self, file: str) -> None:
        self._file = file

    def settings(self, data: Mapping[str, Any]) -> Settings:
        """All of them. Raises PodfenceError."""
        self._known(data, ("check", "cluster", "input", "plan", "test"), "")
        check = self._table(data.get("check", {}), "check")
        self._known(check, _KEYS, "check.")
        fail_on = check.get("fail-on", "")
        if fail_on not in ("", "never", *_WEIGHTS):
            self._refuse("check.fail-on", f"{fail_on!r}: use error, warning, note or never")
        weights = {}
        for name, weight in self._table(check.get("severity", {}), "check.severity").items():
            code = _code_of(name)
            key = f"check.severity.{name}"
            if code not in _codes():
                close = similar(code, [*_codes(), *(rule.slug for rule in _codes().values())])
                hint = f"did you mean {close[0]}?" if close else 'use one, such as PF331 = "error"'
                self._refuse(key, f"{name!r} is not a code that check reports; {hint}")
            if weight not in [*_WEIGHTS]:
                self._refuse(key, f"{weight!r} is not a severity: use error, warning or note")
            weights[code] = _WEIGHTS[weight]
        paths = {}
        for pattern, each in self._table(check.get("paths", {}), "check.paths").items():
            table = self._table(each, f'check.paths."{pattern}"')
            self._known(table, ("ignore",), f'check.paths."{pattern}".')
            paths[pattern] = self._codes(table.get("ignore", []), f'check.paths."{pattern}".ignore')
        ignore = self._codes(check.get("ignore", []), "check.ignore")
        cluster = self._cluster(self._table(data.get("cluster", {}), "cluster"))
        shared, shared_labels = self._shared(check.get("shared", []))
        allowed = check.get("metadata-allowed", [])
        allowed = self._namespaces(allowed, "check.metadata-allowed")
        plan = self._plan(self._table(data.get("plan", {}), "plan"))
        test = self._test(self._table(data.get("test", {}), "test"))
        read = self._table(data.get("input", {}), "input")
        self._known(read, _INPUT_KEYS, "input.")
        return Settings(
            file=self._file,
            fail_on=fail_on,
            ignore=ignore,
            severity=weights,
            paths=paths,
            cluster=cluster,
            shared=shared,
            shared_labels=shared_labels,
            metadata_allowed=frozenset(allowed),
            is_partial=self._truth(read.get("partial", False), "input.partial"),
            plan=plan,
            test=test,
        )

    def _shared(self, value: object) -> tuple[frozenset[str], tuple[Labels, ...]]:
        """Namespaces by name, and by labels."""
        key = "check.shared"
        said = 'use namespaces and labels of namespaces, such as ["kube-system", "shared=true"]'
        names: set[str] = set()
        labels = []
        for each in self._texts(value, key, said):
            if "=" in each:
                labels.append(self._labels(each, key, said))
            else:
                names.update(self._namespaces([each], key))
        return frozenset(names), tuple(labels)

    def _namespaces(self, value: object, key: str) -> tuple[str, ...]:
        found = self._texts(value, key, 'use namespaces, such as ["kube-system"]')
        for each in found:
            if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", each):
                self._refuse(key, f"{each!r} is not a valid namespace name")
        return found

    def _truth(self, value: object, key: str) -> bool:
        if not isinstance(value, bool):
            self._refuse(key, "use true or false")
        return value

    def _plan(self, table: Mapping[str, Any]) -> PlanSettings:
        self._known(table, _PLAN_KEYS, "plan.")
        words = [each.value for each in FailOn]
        fail_on = table.get("fail-on", "")
        if fail_on not in ("", *words):
            self._refuse("plan.fail-on", f"{fail_on!r}: use {', '.join(words[:-1])} or {words[-1]}")
        flows = self._files(table.get("flows", []), "plan.flows", "flows.jsonl")
        return PlanSettings(fail_on, flows)

    def _test(self, table: Mapping[str, Any]) -> TestSettings:
        self._known(table, _TEST_KEYS, "test.")
        files = self._files(table.get("files", []), "test.files", "policies/tests")
        touched, score = (self._percent(table.get(k), f"test.{k}") for k in ("touched", "score"))
        return TestSettings(files, touched, score)

    def _files(self, value: object, key: str, example: str) -> tuple[str, ...]:
        """Paths as a command takes them, without standard input."""
        said = f'use a list of paths, such as ["{example}"]'
        found = self._texts(value, key, said)
        if "" in found or "-" in found:
            self._refuse(key, f"{said}; standard input is not one")
        here = Path(self._file).parent
        return tuple(os.path.normpath(here / each) for each in found)

    def _percent(self, value: object, key: str) -> float | None:
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
            self._refuse(key, "use a number from 0 to 100")
        return float(value)

    def _cluster(self, table: Mapping[str, Any]) -> ClusterSettings:
        self._known(table, _CLUSTER_KEYS, "cluster.")
        key = "cluster.ingress-controllers"
        named = self._table(table.get("ingress-controllers", {}), key)
        example = "ingress-nginx/app.kubernetes.io/name=ingress-nginx"
        controllers = {
            name: self._pods(value, f"{key}.{name}", example) for name, value in named.items()
        }
        return ClusterSettings(
            Controllers(controllers),
            tuple(self._addresses(table.get("api-server", []), "cluster.api-server")),
            self._label_key(table.get("tenant-label", ""), "cluster.tenant-label"),
            self._plugin(table.get("plugin", ""), "cluster.plugin"),
            self._cidrs(table, "pod-cidrs", "10.244.0.0/16"),
            self._cidrs(table, "service-cidrs", "10.96.0.0/12"),
            self._dns(self._table(table.get("dns", {}), "cluster.dns")),
        )

    def _dns(self, table: Mapping[str, Any]) -> ClusterDns:
        self._known(table, _DNS_KEYS, "cluster.dns.")
        pods = node_local = None
        if "pods" in table:
            example = "kube-system/k8s-app=kube-dns"
            pods = self._pods(table["pods"], "cluster.dns.pods", example)
        if "node-local" in table:
            key = "cluster.dns.node-local"
            text = self._text(table["node-local"], key, "169.254.20.10")
            try:
                node_local = ip_address(text)
            except ValueError:
                self._refuse(key, f"{text!r} is not an address such as 169.254.20.10")
        return ClusterDns(pods, node_local)

    def _cidrs(self, table: Mapping[str, Any], name: str, example: str) -> tuple[IPNetwork, ...]:
        key, found = f"cluster.{name}", []
        for each in self._texts(table.get(name, []), key, f'use CIDRs, such as ["{example}"]'):
            try:
                found.append(ip_network(each))
            except ValueError as error:
                self._refuse(key, f"{each!r} is not a CIDR such as {example}: {error}")
        return tuple(found)

    def _addresses(self, value: object, key: str) -> Iterator[IPAddress]:
        """Addresses, each with or without a port."""
        for each in self._texts(value, key, 'use addresses, such as ["192.0.2.10:6443"]'):
            host, colon, port = each.rpartition(":")
            if not (each.count(":") == 1 or "]:" in each):
                host, colon, port = each, "", ""
            try:
                if colon and not 0 < int(port) < 1 << 16:
                    raise ValueError
                yield ip_address(host.strip("[]"))
            except ValueError:
                self._refuse(key, f"{each!r} is not an address such as 192.0.2.10:6443")

    def _label_key(self, value: object, key: str) -> str:
        """A key that a label may have, or nothing."""
        text = self._text(value, key, "team")
        if text and not re.fullmatch(
            r"([a-z0-9.-]+/)?[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?", text
        ):
            self._refuse(key, f"{text!r} is not the key of a label, such as team")
        return text

    def _plugin(self, value: object, key: str) -> str:
        """An unknown plugin is accepted, unless it looks misspelt."""
        from podfence.questions.lint.plugins import PLUGINS

        text = self._text(value, key, "cilium 1.15.3")
        name, _, version = text.strip().lower().partition(" ")
        close = similar(name, PLUGINS, cutoff=0.75) if name not in PLUGINS else []
        if close:
            self._refuse(key, f"{text!r}: did you mean {close[0]}?")
        if version and not re.match(r"v?\d", version.strip()):
            self._refuse(key, f"{text!r}: write a name and a version, such as cilium 1.15.3")
        return text

    def _text(self, value: object, key: str, example: str) -> str:
        if not isinstance(value, str):
            self._refuse(key, f'use a string, such as "{example}"')
        return value

    def _texts(self, value: object, key: str, said: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._refuse(key, said)
        return tuple(value)

    def _pods(self, value: object, key: str, example: str) -> tuple[str, Labels]:
        """``NAMESPACE/KEY=VALUE,...``; keys may hold slashes themselves."""
        said = f'use a namespace and labels, such as "{example}"'
        if not isinstance(value, str):
            self._refuse(key, said)
        namespace, found, rest = value.partition("/")
        if not namespace or not found:
            self._refuse(key, said)
        return namespace, self._labels(rest, key, said)

    def _labels(self, value: str, key: str, said: str) -> Labels:
        """``KEY=VALUE,...``."""
        pairs = [each.partition("=") for each in value.split(",")]
        labels = {name.strip(): text.strip() for name, _, text in pairs}
        if len(labels) < len(pairs) or not all(name.strip() and sign for name, sign, _ in pairs):
            self._refuse(key, said)
        return labels_of(labels)

    def _codes(self, value: object, key: str) -> tuple[str, ...]:
        found = self._texts(value, key, 'use a list of codes, such as ["PF350"]')
        codes = tuple(map(_code_of, found))
        for code in codes:
            if not code.startswith("PF") or not any(each.startswith(code) for each in _codes()):
                close = similar(code, [rule.slug for rule in _codes().values()])
                hint = f"; did you mean {close[0]}?" if close else ""
                said = f"{code!r} is not the beginning of a code of what policies do{hint}"
                self._refuse(key, said)
        return codes

    def _table(self, value: object, key: str) -> Mapping[str, Any]:
        if not isinstance(value, dict):
            self._refuse(key, f"use a table, such as {_TABLES.get(key, f'[{key}]')}")
        return value

    def _known(self, table: Mapping[str, Any], keys: tuple[str, ...], prefix: str) -> None:
        for key in table:
            if key not in keys:
                close = similar(key, keys)
                hint = f"; did you mean {prefix}{close[0]}?" if close else ""
                known = ", ".join(f"{prefix}{each}" for each in keys)
                self._refuse(f"{prefix}{key}", f"no such key{hint} (known: {known})")

    def _refuse(self, key: str, text: str) -> NoReturn:
        raise PodfenceError(f"{self._file}: {key}: {text}")
