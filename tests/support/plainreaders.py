"""Readers of settings, of what agents keep and answer, and of what people type into the page.

Rule: as in ``readers``. What reads a file is given one.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import msgspec
from msgspec.json import encode
from msgspec.structs import replace

from podfence.agent.fleet import NodeReply
from podfence.agent.keptfiles import NameFile
from podfence.agent.nodereport import (
    ConditionReport,
    KindReport,
    NodeReport,
    PacketTally,
    PendingPod,
    PolicyReport,
)
from podfence.agent.resolvers import nameservers
from podfence.cli.baseline import read_baseline
from podfence.cli.can_command import read_queries
from podfence.cli.settings import read_settings
from podfence.dns.cache import CachedAddress
from podfence.drops.record import ISOLATED, RULE, Cause, Drop, Drops, FlowEnd, NamedRule
from podfence.errors import UNREADABLE
from podfence.flows.calico import CalicoReader
from podfence.flows.conntrack import ConntrackReader
from podfence.flows.csvtext import CsvReader, columns
from podfence.flows.hubble import HubbleReader
from podfence.flows.seen import FlowRecords
from podfence.kube.access import Credential
from podfence.kube.client import Client
from podfence.kube.connection import open_connection
from podfence.kube.kubeconfig import read_kubeconfig
from podfence.manifests.load import load
from podfence.manifests.yamledit import edited
from podfence.model.cluster import Cluster
from podfence.model.meta import ObjectRef, Revision
from podfence.podprobe.attempts import Dial
from podfence.podprobe.container import read_outcomes
from podfence.questions.completion import complete
from podfence.questions.repair.changes import Append, Rename, SetField
from podfence.render.drops import drop_text, drops_data, lost_text
from podfence.render.fleet_text import nodes_text, policy_text
from podfence.render.jsontext import json_text
from podfence.render.rules import rules_data, rules_notes, rules_text
from podfence.usage.kept import KeptPolicyUse, KeptRuleUse, KeptUsage, restored, saved
from podfence.usage.ledger import UsageLedger
from podfence.usage.record import NodeUsage, PolicyUse, RuleUse
from podfence.usage.together import together
from tests.support.fuzzing import check_harmless
from tests.support.mutations import ROOT

T = TypeVar("T")
_DEEP = b"[" * 2000 + b"]" * 2000
"""Nested deeper than Python goes."""


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="podfence-readers-")


def _file(data: bytes, name: str = "file") -> Path:
    path = Path(_folder().name) / name
    path.write_bytes(data)
    return path


# -- what configures podfence


def settings(data: bytes) -> None:
    """``podfence.toml``. Raises PodfenceError."""
    read_settings(str(_file(data)), none=False)


def setting_seeds() -> Iterator[bytes]:
    """All keys; a number and a nesting beyond what Python reads."""
    yield b"""[check]
fail-on = "warning"
ignore = ["PF350"]
severity = {PF331 = "error"}
shared = ["kube-system"]
paths."old/*.yaml" = {ignore = ["PF3"]}
[cluster]
api-server = ["192.0.2.10:6443", "[2001:db8::1]:6443", "2001:db8::2"]
tenant-label = "team"
plugin = "calico"
ingress-controllers = {nginx = "ingress-nginx/app.kubernetes.io/name=controller,a=b"}
"""
    yield b"[check]\nignore = " + _DEEP
    yield b"[check]\nignore = " + b"1" * 4400


def kubeconfigs(data: bytes) -> None:
    """A kubeconfig, up to the connection that is to be opened. Raises ClusterError."""
    config = read_kubeconfig([_file(data)], must_exist=True)
    assert config is not None
    access = config.access()
    access.server.url.encode("ascii")
    Client(access, {}).close()
    open_connection(access.server, Credential(), {}, 1.0).close()


def kubeconfig_seeds() -> Iterator[bytes]:
    """A token, a program, somebody else; and addresses that are none."""
    whole = """clusters: [{name: c, cluster: {server: "%s", tls-server-name: a, proxy-url: "%s"}}]
users:
- {name: u, user: {token: abc, as: jane, as-groups: [a], as-user-extra: {k: [v]}}}
- {name: e, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: login, args: [a]}}}
contexts: [{name: a, context: {cluster: c, user: u, namespace: x}}]
current-context: a
"""
    for server in ("https://192.0.2.1:6443/k8s", "https://[::1", "https://a:b", "https://a b"):
        yield (whole % (server, "")).encode()
    yield (whole % ("http://a", "http://u:p@b:3128")).encode()
    yield (whole % ("http://a", "http://b:c")).encode()
    yield (whole % ("http://a", "")).replace("jane", r'"a\nb"').encode()


def baselines(data: bytes) -> None:
    """Known findings. Raises PodfenceError."""
    read_baseline(str(_file(data)))


def baseline_seeds() -> Iterator[bytes]:
    """One finding; and a field that nobody asked for, too deep."""
    known = {"code": "PF331", "object": "a", "path": "spec", "fingerprint": "f"}
    yield json.dumps({"schema": "podfence.baseline/v1", "findings": [known]}).encode()
    yield b'{"schema":"podfence.baseline/v1","findings":[],"more":' + _DEEP + b"}"


def questions(data: bytes) -> None:
    """Many questions to ``can``. Raises QuestionError."""
    read_queries(str(_file(data)))


def question_seeds() -> Iterator[bytes]:
    """One with all fields; and one too deep."""
    yield b'[{"src":"shop/web","dst":"shop/db","protocol":"TCP","port":5432}]'
    yield b'[{"src":"a","dst":"b","port":1,"more":' + _DEEP + b"}]"


def resolv_confs(data: bytes) -> None:
    """The resolvers of a node."""
    nameservers(data.decode("utf-8", "replace"))


def resolv_conf_seeds() -> Iterator[bytes]:
    """Of both families."""
    yield b"search a.example\nnameserver 10.96.0.10\nnameserver 2001:db8::53\n# no more\n"


# -- what an agent keeps


def kept_uses(data: bytes) -> None:
    """Uses of rules, over a restart. Raises ValueError."""
    now = 1_800_000_000.0
    kept = restored(data, "n")
    json_text(UsageLedger(now, kept).seen(now).rules("n", str))


def kept_use_seeds() -> Iterator[bytes]:
    """One rule; and one too deep."""
    entry = KeptPolicyUse(Revision("u", 1), 1.7e9, {"spec.ingress[0]": KeptRuleUse(3, 1.75e9)})
    kept = KeptUsage(1.7e9, 1.75e9, 2.0, [(ObjectRef("NetworkPolicy", "x", "a"), entry)])
    yield saved("n", kept)
    yield b'{"version":1,"more":' + _DEEP + b"}"


def kept_names(data: bytes) -> None:
    """Addresses of names, over a restart."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_bytes().strip()
    _file(data.replace(b"BOOT", boot), "names-7.json")
    NameFile(Path(_folder().name), 7).load()


def kept_name_seeds() -> Iterator[bytes]:
    """Both families; and one too deep. ``BOOT`` stands for this life of the machine."""
    known = [CachedAddress("a.example", (4, 1), 9.0), CachedAddress("a.example", (6, 1), 9.0)]
    file = NameFile(Path(_folder().name), 7)
    file.save(known)
    written = json.loads((Path(_folder().name) / "names-7.json").read_bytes())
    yield json.dumps({**written, "boot": "BOOT"}).encode()
    yield b'{"boot":"BOOT","known":[],"more":' + _DEEP + b"}"


# -- what an agent answers


def reports(data: bytes) -> None:
    """How a node and a policy stand, as tables."""
    if report := _read(data, NodeReport):
        check_harmless(nodes_text([NodeReply("n", report)]))
    if of_policy := _read(data, PolicyReport):
        policy = ObjectRef("NetworkPolicy", "x", "a")
        check_harmless(policy_text(policy, Revision("u", 1), [NodeReply("n", of_policy)]))


def report_seeds() -> Iterator[bytes]:
    """A node with something to tell, and a policy in force."""
    held = ConditionReport("refused", "NetworkPolicy x/a", "why", 3.0, ("x/b",))
    heard = KindReport("Pod", "", "listed", 1.0)
    tally = PacketTally("ingress", "policy", 3, 180)
    waits = PendingPod("x/c", 2.0)
    node = NodeReport("n", "1", in_sync=True, pending=(waits,), conditions=(held,))
    yield encode(replace(node, sources=(heard,), lag=1.5, denied=(tally,)))
    yield encode(PolicyReport("n", True, True, "u", 1, pods=2, conditions=(held,)))


def usages(data: bytes) -> None:
    """Uses of rules, counted together."""
    if answer := _read(data, NodeUsage):
        told, totals = [NodeReply("n", answer)], together([answer, answer])
        check_harmless(rules_text(totals))
        check_harmless("\n".join(rules_notes(told)))
        json_text(rules_data(totals, told, ""))


def usage_seeds() -> Iterator[bytes]:
    """One policy with two rules, on a node that does not look."""
    rules = tuple(RuleUse(f"spec.ingress[{n}]", n, "2026-07-31") for n in range(2))
    policy = PolicyUse("NetworkPolicy", "x/a", "u", 1, "2026-07-01", rules)
    yield encode(NodeUsage("n", "2026-07-01", policies=(policy,), fault="cannot look"))


def denials(data: bytes) -> None:
    """Denied packets, as lines."""
    if answer := _read(data, Drops):
        for drop in answer.drops:
            check_harmless(drop_text(drop, with_node=True))
        check_harmless(lost_text(answer))
        json_text(drops_data([NodeReply("n", answer)]))


def denial_seeds() -> Iterator[bytes]:
    """A packet that a rule denies, and one that nearly passed and is audited."""
    one, other = FlowEnd("10.0.0.1", ("x/a",)), FlowEnd("192.0.2.1", (), "n2")
    rule = NamedRule("NetworkPolicy", "x/a", "spec.ingress[0]", "the port fits")
    times = ("2026-07-31T10:00:00.000Z", "2026-07-31T10:00:01.000Z")
    for number, cause in enumerate(
        (Cause(RULE, "Admin", (rule,)), Cause(ISOLATED, "", (rule,), (rule,), 2, (rule,)))
    ):
        drop = Drop("n", number, *times, 3, "ingress", one, other, "TCP", cause, 80, audit=True)
        yield encode(Drops("n", 7, 9, 1, 2, (drop,)))


def _read(data: bytes, form: type[T]) -> T | None:
    try:
        return msgspec.json.decode(data, type=form)
    except UNREADABLE:
        return None


# -- flow records of one format, wherever they break off


def hubble(data: bytes) -> None:
    """Lines of ``hubble observe``."""
    HubbleReader(FlowRecords(), "-").lines(data.split(b"\n"), 1)


def calico(data: bytes) -> None:
    """Flow logs of Calico, and an answer of Whisker. Raises what UNREADABLE holds."""
    CalicoReader(FlowRecords(), "-").lines(data.split(b"\n"), 1)
    CalicoReader(FlowRecords(), "-").document(data)


def conntrack(data: bytes) -> None:
    """Lines of ``conntrack``."""
    ConntrackReader(FlowRecords(), "-").lines(data.split(b"\n"), 1)


def csv(data: bytes) -> None:
    """CSV, whatever its first line."""
    first, *lines = data.split(b"\n")
    header = columns(first.decode("utf-8", "replace"))
    if header is not None:
        CsvReader(FlowRecords(), "-", header).lines(lines, 2)


# -- what is typed, and what is edited


def completions(data: bytes) -> None:
    """Where somebody types. The first bytes say where."""
    line, column, text = data[:1], data[1:2], data[2:].decode("utf-8", "replace")
    found = complete(_shop(), text, 1 + int.from_bytes(line, "big"), int.from_bytes(column, "big"))
    for option in found.options if found else ():
        option.text.encode("utf-8", "surrogatepass")


@cache
def _shop() -> Cluster:
    return load([str(ROOT / "examples" / "shop")]).cluster


def completion_seeds() -> Iterator[bytes]:
    """At a label, and at a port."""
    text = (ROOT / "examples" / "shop" / "policies" / "db.yaml").read_bytes()
    for number, line in enumerate(text.splitlines(), 1):
        yield bytes([number, len(line)]) + text


_EDITS = (
    Append("spec.ingress", {"from": [{"podSelector": {}}]}),
    Append("spec.policyTypes", "Egress"),
    SetField("spec.podSelector.matchLabels.app", "b"),
    SetField("metadata.labels", {"a": "yes"}),
    Rename("spec.ingress[0].form", "from"),
)


def edits(data: bytes) -> None:
    """An edit of a document; the first byte says which. Raises CannotEdit."""
    change = _EDITS[data[0] % len(_EDITS)] if data else _EDITS[0]
    edited(data[1:].decode("utf-8", "replace"), [((), change)])


def edit_seeds() -> Iterator[bytes]:
    """Each edit of a policy in block and in flow style."""
    block = (ROOT / "examples" / "shop" / "policies" / "db.yaml").read_bytes()
    flow = b"spec: {podSelector: {matchLabels: {app: a}}, ingress: [{form: []}]} # why\n"
    for number in range(len(_EDITS)):
        yield bytes([number]) + block
        yield bytes([number]) + flow


_DIALS = tuple(Dial("shop/web", ip_address("10.0.0.1"), "TCP", port) for port in (80, 443))


def probes(data: bytes) -> None:
    """What a container that tried two connections printed."""
    assert read_outcomes(data, _DIALS).keys() <= set(_DIALS)


def probe_seeds() -> Iterator[bytes]:
    yield b'{"at": 1, "got": "open"}\n{"at": 0, "got": "timeout"}\n{"done": 3}\n'
    yield b'{"at": 2, "got": "open"}\nwarning: none\n{"at": 0, "got": "error EIO"}\n{"done": 3}\n'
    yield b'{"at": 0, "got": "refused"}\n'
