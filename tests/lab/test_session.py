"""A lab that stays: changes, questions, commands, and its end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from podfence.errors import LabError, NftError, PodfenceError
from podfence.lab.messages import Exec, LabInput
from podfence.lab.probing.process import LabProcess
from podfence.lab.probing.requests import NamespaceOf
from podfence.lab.replies import NetworkNamespace
from podfence.lab.session import Session, world
from podfence.lab.trial import LabOptions
from podfence.manifests.positions import Positions
from podfence.model.cluster import Cluster, ClusterObject
from podfence.model.meta import ObjectRef, labels_of
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import Service, ServicePort
from podfence.nft.difference import diff
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import DeleteChain, Transaction
from podfence.questions.can import Can
from podfence.render.lab import applied_text, explained_text, stated_text
from podfence.testing.builders import peer, pod, policy, rule
from tests.lab.clusters import SHOP

pytestmark = pytest.mark.kernel
OPEN_DB = policy(
    "shop/db", {"app": "db"}, ingress=[rule(peer(pods={"app": "web"}), ports=["pg", 7000])]
)
HOSTILE = 'x\x1b[31m"; drop'


def read(*objects: ClusterObject) -> LabInput:
    return LabInput.of(Cluster.of(objects), Positions())


@contextmanager
def running(*objects: ClusterObject, nodes: int = 2) -> Iterator[Session]:
    options = LabOptions(nodes=nodes)
    first = world(read(*objects), options)
    with LabProcess(first.plan) as lab:
        yield Session("test", lab, first, options)


def said(session: Session, *objects: ClusterObject) -> list[str]:
    return applied_text(session.apply(read(*objects))).splitlines()


def agrees(session: Session) -> bool:
    return session.test().report.clean


def packet(session: Session, *question: str | int) -> str:
    source, destination, port = question
    assert isinstance(source, str)
    assert isinstance(destination, str)
    text = explained_text(session.why(Can(source, destination, port)))
    return next(line for line in text.splitlines() if line.startswith("packet: "))


WEB_7000 = policy(
    "shop/web",
    {"app": "web"},
    egress=[rule(peer(pods={"app": "db"}), ports=[5432, 7000])],
    types=["Egress"],
)


def test_a_change_is_enforced_and_said_by_workload() -> None:
    with running(*SHOP) as session:
        before = packet(session, "shop/web", "shop/db", 7000)
        lines = said(session, *SHOP[:3], OPEN_DB, WEB_7000)
        after = packet(session, "shop/web", "shop/db", 7000)
        assert agrees(session)
    assert lines[:2] == [
        "opened  shop/web -> shop/db  TCP/7000",
        "closed  outside 203.0.113.10 -> shop/db  TCP/8000-8010",
    ]
    assert "2 of 2 node(s) got other rules, live connections are judged again on 2" in lines[2]
    assert before.endswith("IPv4: no answer: as the engine says")
    assert after.endswith("IPv4: open: as the engine says")


def test_nothing_changed_is_said_and_touches_no_rules() -> None:
    with running(*SHOP) as session:
        lines = said(session, *SHOP)
    assert lines[0] == "no verdict changed"
    assert lines[1].endswith("0 of 2 node(s) got other rules")


def test_pods_come_and_go() -> None:
    new = pod("shop/new", {"app": "web"}, ports=[":4000"])
    with running(*SHOP) as session:
        came = said(session, *SHOP, new)
        assert agrees(session)
        assert packet(session, "shop/new", "shop/db", 5432).endswith("open: as the engine says")
        gone = said(session, *SHOP)
        assert agrees(session)
        with pytest.raises(PodfenceError, match="no pod or workload"):
            session.why(Can("shop/new", "shop/db", 5432))
    assert came[0] == "new pod: shop/new (10.244.128.2, fd00:10:244:8000::2) on lab-node-2"
    assert gone[0].startswith("pod gone: shop/new")


def test_a_new_pod_may_take_the_address_of_one_that_goes() -> None:
    old, new = (pod(f"a/{name}", addresses=["10.0.0.9"]) for name in ("old", "new"))
    with running(pod("a/other", addresses=["10.0.0.1"]), old) as session:
        said(session, pod("a/other", addresses=["10.0.0.1"]), new)
        assert agrees(session)


def test_what_one_node_refuses_is_taken_back_on_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[Transaction] = []

    def second_is_wrong(old: Ruleset, new: Ruleset) -> Transaction:
        made.append(diff(old, new))
        if len(made) != 2:
            return made[-1]
        return replace(made[-1], operations=(*made[-1].operations, DeleteChain("nowhere")))

    with running(*SHOP) as session:
        before = session.plan
        monkeypatch.setattr("podfence.reconcile.step.diff", second_is_wrong)
        with pytest.raises(NftError, match="nowhere"):
            said(session, *SHOP[:3], OPEN_DB, WEB_7000, pod("shop/new"))
        monkeypatch.undo()
        assert session.plan == before
        assert agrees(session)


def names_in(session: Session) -> set[str]:
    return {pod.name for node in session.status().nodes for pod in node.pods}


def refusing(old: Ruleset, new: Ruleset) -> Transaction:
    """A transaction that no kernel takes."""
    return replace(diff(old, new), operations=(DeleteChain("nowhere"),))


def test_a_refused_change_leaves_every_pod_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """One pod would come, one would go, and one would give its address to another."""
    holder, heir = (pod(f"a/{name}", addresses=["10.0.0.9"]) for name in ("holder", "heir"))
    with running(*SHOP, holder) as session:
        before = names_in(session)
        monkeypatch.setattr("podfence.reconcile.step.diff", refusing)
        with pytest.raises(NftError, match="nowhere"):
            said(session, *SHOP[:2], *SHOP[3:], heir, pod("shop/new"))
        monkeypatch.undo()
        assert names_in(session) == before
        for name in before:
            session.where(name)
        for name in ("a/heir", "shop/new"):
            with pytest.raises(LabError, match="no pod and no node named"):
                session.lab.call(NamespaceOf(name))
        assert packet(session, "shop/db", "10.0.0.9", 80).endswith("open: as the engine says")
        assert agrees(session)


def test_a_change_without_pods_is_refused() -> None:
    with running(*SHOP) as session:
        with pytest.raises(LabError, match="nothing to build"):
            said(session, SHOP[3])
        assert agrees(session)


@pytest.mark.parametrize(
    ("node", "name"),
    [
        pytest.param("", "shop/db", id="pod"),
        pytest.param("lab-node", "default/lab-node", id="node"),
    ],
)
def test_commands_run_in_a_namespace_of_the_lab_process(node: str, name: str) -> None:
    with running(*SHOP) as session:
        found = session.do(Exec(node, name))
        assert isinstance(found, NetworkNamespace)
        assert os.readlink(f"/proc/{found.pid}/fd/{found.number}").startswith("net:[")


def test_hostile_names_are_escaped() -> None:
    with running(*SHOP) as session:
        lines = said(session, *SHOP, pod(f"shop/{HOSTILE}", {"app": HOSTILE}))
    assert all(line.isprintable() for line in lines)


def test_status_lists_what_can_be_dialled() -> None:
    service = Service(
        ObjectRef("Service", "shop", "db"),
        labels_of({"app": "db"}),
        (),
        (ServicePort("", 80, 5432, Protocol.TCP),),
    )
    with running(*SHOP, service) as session:
        found = stated_text(session.status(), parties=True).splitlines()
        why = session.why(Can("shop/web", "10.96.0.1", 80))
    assert "    shop/web (10.244.0.1, fd00:10:244::1)" in found
    assert "  service shop/db (10.96.0.1, fd00:10:96::1): TCP/80" in found
    assert "packet: shop/web -> shop/db TCP/5432 over IPv4: open: as the engine says" in (
        explained_text(why)
    ), "the address of a Service is asked for what is behind it"
