"""``podfence agent cleanup``: nothing is left; what cannot be done keeps nothing else from it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import closing
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from podfence.agent import main
from podfence.agent.keptfiles import NameFile
from podfence.agent.table import KernelTable
from podfence.dns.cache import CachedAddress
from podfence.dns.table import TABLE as NAMES
from podfence.dns.table import names_table
from podfence.errors import HostError, NftError, PodfenceError
from podfence.model.cluster import Cluster
from podfence.nft.difference import load
from podfence.nft.lowering.lower import TABLE, LocalNode, lower
from podfence.nft.render import render
from podfence.policy.compile import compile_cluster
from podfence.testing.builders import pod
from tests.agent.network import Node
from tests.agent.traffic import Flow, Traffic
from tests.kernel.nft_namespace import NftNamespace, nft_namespace
from tests.nft.cases import CASES

pytestmark = pytest.mark.kernel
MASK = 0xFFFF0000


@pytest.fixture
def kernel() -> Iterator[NftNamespace]:
    with nft_namespace() as made:
        yield made


class Left:
    """A node on which an agent has been: its tables, and what it kept in a folder."""

    def __init__(self, kernel: NftNamespace, folder: Path) -> None:
        self.folder = folder
        self._kernel = kernel
        table = KernelTable(MASK, None, kernel.fd)
        table.run(load(CASES[0].ruleset))
        table.close()
        kernel.nft("-f", "-", text=render(names_table(78, [(4, 1)])))
        self.inode = os.fstat(kernel.fd).st_ino
        self.file = NameFile(folder, self.inode)
        self.file.save([CachedAddress("api.example.com", (4, 1), 1e9)])
        self.state = folder / "state"
        for node in ("n1", "n2"):
            (self.state / node).mkdir(parents=True)
            (self.state / node / "rules.json").touch()
        (folder / "names-1.json").write_text("of another node")

    def cleaned(self, node: str = "") -> bool:
        return main.cleanup(MASK, self.folder, self.state, self._kernel.fd, node)

    @property
    def tables(self) -> set[str]:
        return {*self._kernel.nft("list", "tables").split()} & {TABLE, NAMES}

    @property
    def kept(self) -> list[str]:
        return [each.name for each in self.folder.rglob("*.*")]


@pytest.fixture
def left(kernel: NftNamespace, tmp_path: Path) -> Left:
    return Left(kernel, tmp_path)


def test_nothing_of_this_node_is_left(left: Left) -> None:
    assert left.tables == {TABLE, NAMES}
    assert left.cleaned()
    assert (left.tables, left.kept) == (set(), ["names-1.json"])
    assert not left.cleaned()


def test_a_write_that_was_cut_short_is_not_left_either(left: Left) -> None:
    (left.folder / f"names-{left.inode}.new").touch()
    (left.state / "n1" / "rules.new").touch()
    left.cleaned()
    assert left.kept == ["names-1.json"]


def test_counts_of_nodes_that_share_the_folder_stay_where_one_is_named(left: Left) -> None:
    left.cleaned("n1")
    assert sorted(left.kept) == ["names-1.json", "rules.json"]
    assert [*left.state.iterdir()] == [left.state / "n2"]


def test_what_others_have_put_beside_the_counts_stays(left: Left) -> None:
    for path in (left.state / "n1" / "note", left.state / "empty" / "folder"):
        path.parent.mkdir(exist_ok=True)
        path.mkdir()
    left.cleaned()
    assert sorted(each.name for each in left.state.rglob("*")) == ["empty", "folder", "n1", "note"]


def test_what_is_allowed_does_not_pause_while_the_table_goes(tmp_path: Path) -> None:
    config = tmp_path / "kubeconfig"
    config.write_text("clusters: [{cluster: {server: 'https://127.0.0.1:1'}}]")
    addresses = {"web": "10.9.0.1", "db": "10.9.0.2"}
    pods = [pod(f"x/{name}", addresses=[at], node="n1") for name, at in addresses.items()]
    local = LocalNode("n1", pod_cidrs=(IPv4Network("10.9.0.0/24"),))
    rules = lower(compile_cluster(Cluster.of(pods)), local)
    with closing(Node("n1", tmp_path, config)) as node:
        for name, address in addresses.items():
            node.add(name, address)
        flows = [Flow(number, node.pods["web"], node.pods["db"]) for number in range(6)]
        packets = Traffic(flows, pause=0.0005)
        packets.start()
        for flow in flows:
            flow.expect(True)
        for _ in range(40):
            node.table.replace(rules)
            time.sleep(0.02)
            assert node.table.delete()
            time.sleep(0.02)
        packets.end()
    assert packets.judged() > 1000
    assert packets.wrong() == {}


@pytest.mark.parametrize(
    ("owner", "name", "error"),
    [
        pytest.param(KernelTable, "delete", NftError("no"), id="the table"),
        pytest.param(KernelTable, "sweep_all", NftError("no"), id="marks of connections"),
        pytest.param(main, "delete_names", NftError("no"), id="the table of names"),
        pytest.param(NameFile, "delete", HostError("no"), id="the file of names"),
    ],
)
def test_what_cannot_be_done_is_told_and_the_rest_is_done(
    left: Left, monkeypatch: pytest.MonkeyPatch, owner: object, name: str, error: PodfenceError
) -> None:
    def refuses(*_: object) -> None:
        raise error

    monkeypatch.setattr(owner, name, refuses)
    with pytest.raises(type(error)):
        left.cleaned()
    monkeypatch.undo()
    remaining = {"delete": {TABLE}, "delete_names": {NAMES}} if owner is not NameFile else {}
    assert left.tables == remaining.get(name, set())
    assert (len(left.kept) == 2) is (owner is NameFile)
