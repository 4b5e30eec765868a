"""What is rendered loads into a kernel, reads back, and loads again from what was read back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from podfence.errors import HostError, NftError
from podfence.kernel import nftcli
from podfence.kernel.nftcli import run_nft
from podfence.nft.lowering import keyed
from podfence.nft.lowering.lower import LocalNode, lower
from podfence.nft.render import render
from podfence.policy.compile import compile_cluster
from tests.nft.cases import CASES, NODE, Case
from tests.support.odd_clusters import LONG, odd_cluster
from tests.support.random_clusters import TIERS, Size, random_cluster

SMALL = "add table inet podfence\n"


class Kernel:
    """A network namespace that lives as long as a sleeping process in it."""

    def __init__(self) -> None:
        as_root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self._process = subprocess.Popen(
            ["unshare", *as_root, "--net", "--mount", "sh", "-c", "echo ready; exec sleep 300"],
            stdout=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        self._proc = Path(f"/proc/{self._process.pid}/ns")
        self.fd = os.open(self._proc / "net", os.O_RDONLY | os.O_CLOEXEC)

    def nft(self, *arguments: str, text: str = "") -> str:
        """Run nft in there; its output."""
        user = [] if os.geteuid() == 0 else [f"--user={self._proc / 'user'}"]
        enter = ["nsenter", *user, f"--net={self._proc / 'net'}"]
        return subprocess.run(
            [*enter, "nft", *arguments], input=text, capture_output=True, text=True, check=True
        ).stdout

    def close(self) -> None:
        os.close(self.fd)
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    found = Kernel()
    yield found
    found.close()


def assert_round_trip(kernel: Kernel, text: str) -> None:
    kernel.nft("-f", "-", text=text)
    listed = kernel.nft("list", "ruleset")
    kernel.nft("-f", "-", text=f"flush ruleset\n{listed}")
    assert kernel.nft("list", "ruleset") == listed


@pytest.mark.kernel
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_rendered_rulesets_load_list_and_load_again(kernel: Kernel, case: Case) -> None:
    assert_round_trip(kernel, render(case.ruleset))


@pytest.mark.kernel
def test_random_rulesets_load_over_each_other(kernel: Kernel) -> None:
    for seed in range(12):
        size = Size(pods=12, policies=12, admin_policies=12 if seed % 2 else 0)
        index = compile_cluster(random_cluster(Random(seed), size))
        node = LocalNode("n", pod_cidrs=NODE.pod_cidrs, epoch=seed + 1)
        assert_round_trip(kernel, render(lower(index, node)))


@pytest.mark.kernel
def test_rulesets_of_odd_clusters_load_over_each_other(kernel: Kernel) -> None:
    for seed in range(12):
        index = compile_cluster(odd_cluster(Random(seed), (LONG, TIERS)[seed % 2]))
        node = LocalNode("n", pod_cidrs=NODE.pod_cidrs, epoch=seed + 1)
        assert_round_trip(kernel, render(lower(index, node)))


@pytest.mark.kernel
def test_the_deepest_rulesets_load(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyed, "MAX_LINEAR", 0)
    for seed in range(8):
        index = compile_cluster(random_cluster(Random(seed), TIERS))
        assert_round_trip(kernel, render(lower(index, NODE)))


@pytest.mark.kernel
@pytest.mark.parametrize("mask", [0xFFFFFFFF, 0xFFFF0000, 0x0000FF00, 0xFF, 0xFF000000])
def test_every_mask_loads(kernel: Kernel, mask: int) -> None:
    assert_round_trip(kernel, render(lower(CASES[0].index, LocalNode("n", mark_mask=mask))))


@pytest.mark.kernel
def test_a_ruleset_replaces_the_one_before(kernel: Kernel) -> None:
    first, second = (render(case.ruleset) for case in CASES[1:3])
    kernel.nft("-f", "-", text=second)
    alone = kernel.nft("list", "ruleset")
    kernel.nft("-f", "-", text=first)
    kernel.nft("-f", "-", text=second)
    assert kernel.nft("list", "ruleset") == alone


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="enters a namespace made by root")


@pytest.mark.kernel
@needs_root
def test_run_nft_works_in_the_given_namespace_alone(kernel: Kernel) -> None:
    own = os.stat("/proc/self/ns/net").st_ino
    run_nft(SMALL, kernel.fd)
    assert kernel.nft("list", "tables") == "table inet podfence\n"
    assert os.stat("/proc/self/ns/net").st_ino == own
    assert os.stat("/proc/thread-self/ns/net").st_ino == own


@pytest.mark.kernel
@needs_root
def test_a_refused_transaction_says_where_and_changes_nothing(kernel: Kernel) -> None:
    wrong = f"{SMALL}add rule inet podfence nowhere accept\n"
    with pytest.raises(NftError, match=r"stdin:2:24-30: Error: .*No such file or directory"):
        run_nft(wrong, kernel.fd)
    assert kernel.nft("list", "tables") == ""


@pytest.mark.kernel
def test_a_bad_namespace_is_an_error_not_another_namespace(tmp_path: Path) -> None:
    with (
        (tmp_path / "file").open("w") as file,
        pytest.raises(NftError, match="cannot enter the network namespace"),
    ):
        run_nft(SMALL, file.fileno())


def test_missing_nft_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match="sudo apt-get install -y nftables"):
        run_nft(SMALL)


def test_a_long_refusal_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nft = tmp_path / "nft"
    nft.write_text("#!/bin/sh\nseq 1 100 >&2\nexit 1\n")
    nft.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(NftError) as caught:
        run_nft(SMALL)
    assert len(caught.value.message.splitlines()) == nftcli.MAX_SHOWN + 2
    assert caught.value.message.endswith("... 80 more lines")
