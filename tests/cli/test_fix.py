"""``check --fix``: what is clear is repaired in place, harmless or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

from podfence.cli.editedfiles import write_edits
from podfence.cli.fixing import fixes_for
from podfence.engine.evaluate import evaluate
from podfence.errors import PodfenceError
from podfence.library.input import Input, load
from podfence.manifests.load import load as load_manifests
from podfence.policy.compile import compile_cluster
from podfence.policy.flow import Flow
from podfence.policy.index import PolicyIndex
from podfence.questions.lint.lint import lint
from podfence.questions.plan.outcomes import OutcomeEnd
from podfence.questions.plan.plan import comparable, plan_of_indexes
from podfence.sets.addresses import IPAddress
from tests.cli.session import ROOT, podfence

CODES = ["PF304", "PF320", "PF321", "PF327", "PF329", "PF353"]


@pytest.fixture
def newcomer(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples/newcomer", tmp_path / "tree")
    return tmp_path / "tree"


def files(tree: Path) -> dict[Path, str]:
    return {path: path.read_text() for path in tree.rglob("*") if path.is_file()}


def test_the_mistakes_of_newcomers_are_repaired_and_nothing_else_changes(newcomer: Path) -> None:
    given = ["check", "-f", str(newcomer / "apps"), "-f", str(newcomer / "mistakes")]
    before = files(newcomer)

    shown = podfence([*given, "--fix-diff"])
    untouched = files(newcomer)
    done = podfence([*given, "--fix"])
    after = files(newcomer)

    assert (shown.status, untouched) == (1, before)
    assert sorted(re.findall(r"(PF\d+): NetworkPolicy \S+ would fix", shown.out)) == CODES
    assert sorted(re.findall(r"(PF\d+): NetworkPolicy \S+ fixed", done.err)) == CODES
    left = set(re.findall(r"\[(PF\d+)\]", done.out))
    assert not left & (set(CODES) - {"PF353"})
    assert before.keys() == after.keys()
    changed = [path.name for path in before if before[path] != after[path]]
    assert len(changed) == len(CODES)
    for path in before:  # remarks stay
        remarks = [line for line in before[path].split("\n") if line.lstrip().startswith("#")]
        assert [r for r in remarks if r not in after[path]] == []
    assert podfence([*given, "--fix-diff"]).status == 0


APPS = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
---
apiVersion: v1
kind: Pod
metadata: {name: db, namespace: shop, labels: {app: db}}
"""
OPENS = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db-out, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  egress:   # no policyTypes: this closes ingress, too
  - to: [{podSelector: {matchLabels: {app: web}}}]
"""


def test_a_fix_that_opens_what_the_policy_does_not_say_is_withdrawn(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(APPS + OPENS)

    done = podfence(["check", "-f", str(path), "--fix"])

    assert "PF303: NetworkPolicy shop/db-out: not fixed: it would open more: " in done.err
    assert path.read_text() == APPS + OPENS


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-f", "-", "--fix"], "not standard input; use --fix-diff"),
        (["-f", "X", "--fix", "--fix-diff"], "drop --fix and -o"),
        (["-f", "X", "--fix", "--server-only"], "drop one of the two"),
    ],
)
def test_what_cannot_be_fixed_is_said(arguments: list[str], said: str) -> None:
    text = (ROOT / "examples/newcomer/mistakes/api-metrics.yaml").read_text()
    spaces = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: monitoring}\n"

    whole = f"{text}{spaces}---\n{APPS.replace('shop', 'store')}"
    done = podfence(["check", *arguments], stdin=whole.encode())

    assert said in done.err


def test_an_object_that_cannot_be_read_stops_every_fix(newcomer: Path) -> None:
    (newcomer / "mistakes/torn.yaml").write_text("kind: NetworkPolicy\napiVersion: [\n")
    before = files(newcomer)

    done = podfence(
        ["check", "-f", str(newcomer / "apps"), "-f", str(newcomer / "mistakes"), "--fix"]
    )

    assert (done.status, "not every object can be read" in done.err) == (2, True)
    assert files(newcomer) == before


# -- writing


@pytest.fixture
def two(tmp_path: Path) -> dict[str, tuple[str, str]]:
    for name in ("a", "b"):
        (tmp_path / name).write_text("old")
    return {str(tmp_path / name): ("old", "new") for name in ("a", "b")}


def test_a_file_that_changed_meanwhile_stops_all(two: dict[str, tuple[str, str]]) -> None:
    last = Path(list(two)[-1])
    last.write_text("other")

    with pytest.raises(PodfenceError, match="was changed meanwhile"):
        write_edits(two, "--fix")

    assert [Path(path).read_text() for path in two] == ["old", "other"]
    assert len(list(last.parent.iterdir())) == 2


def gone(path: Path) -> None:
    path.unlink()


def other(path: Path) -> None:
    path.write_text("other")


def shut(path: Path) -> None:
    path.chmod(0o444)


@pytest.mark.parametrize("spoil", [gone, other, shut])
def test_an_error_shows_the_name_of_a_file_and_does_not_act_on_the_terminal(
    tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    path = tmp_path / "a\x1b[2Jb"
    path.write_text("old")
    spoil(path)

    with pytest.raises(PodfenceError, match=r"a\\x1b\[2Jb") as raised:
        write_edits({str(path): ("old", "new")}, "--fix")

    assert "\x1b" not in str(raised.value)


def test_files_are_written_all_or_none(
    two: dict[str, tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = os.replace, 0

    def failing(source: str, target: str) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device", target)
        real(source, target)

    monkeypatch.setattr(os, "replace", failing)

    with pytest.raises(PodfenceError, match="nothing was changed: No space left"):
        write_edits(two, "--fix")

    assert [Path(path).read_text() for path in two] == ["old", "old"]
    assert len(list(Path(next(iter(two))).parent.iterdir())) == 2


def test_a_link_stays_a_link_and_a_mode_stays(tmp_path: Path) -> None:
    path, link = tmp_path / "real", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)

    write_edits({str(link): ("old", "new")}, "--fix")

    assert (link.is_symlink(), path.read_text(), path.stat().st_mode & 0o777) == (
        True,
        "new",
        0o640,
    )


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o555])
def test_a_file_that_nobody_may_write_to_stays_and_so_do_the_others(
    two: dict[str, tuple[str, str]], mode: int
) -> None:
    """For root as well, who could."""
    last = Path([*two][-1])
    last.chmod(mode)

    with pytest.raises(PodfenceError, match=rf"nothing was changed: .* \(mode {mode:04o}\); chmod"):
        write_edits(two, "--fix")

    assert [Path(path).read_text() for path in two] == ["old", "old"]
    assert len(list(last.parent.iterdir())) == 2


# -- the law


def slip(rng: Random, text: str) -> str:
    """One label value, key or port with a letter dropped, doubled or swapped."""
    matches = list(re.finditer(r"(?:app|team|metadata\.name|sql|http|metrics)\b: ?(\w{4,})", text))
    if not matches:
        return text
    word = rng.choice(matches)
    start = word.start(1) + rng.randrange(len(word[1]) - 1)
    kind = rng.randrange(3)
    made = ["", text[start] * 2, text[start + 1] + text[start]][kind]
    return text[:start] + made + text[start + (2 if kind == 2 else 1) :]


class Checked(NamedTuple):
    """Whether a repair was made, and one was withdrawn; how many connections it opened."""

    made: bool = False
    withdrawn: bool = False
    opened: int = 0


def check_slip(rng: Random, tree: Path) -> Checked:
    """A slip of the pen among some of the policies: what its repair opens is decided by the policy
    that was repaired."""
    files = sorted((tree / "policies").glob("*.yaml"))
    good = {path: path.read_text() for path in files}
    path = rng.choice(files)
    path.write_text((slip if rng.random() < 0.7 else without_types)(rng, good[path]))
    for gone in rng.sample([each for each in files if each != path], rng.choice((0, 0, 2, 4))):
        gone.unlink()
    try:
        loaded = load_manifests([str(tree)])
        fixed = fixes_for(loaded, list(lint(compile_cluster(loaded.cluster), loaded.raw)))
        if not fixed.made:
            return Checked(withdrawn=bool(fixed.withdrawn))
        before = load(tree)
        write_edits(fixed.texts, "--fix")
        after = load(tree)
        policies = {fix.policy for fix in fixed.made}
        flows = list(opened_flows(before, after))
        for index, flow in flows:
            verdict = evaluate(index, flow)
            origins = (*verdict.egress.origins, *verdict.ingress.origins)
            assert verdict.allowed, (flow, fixed.made)
            assert policies & {origin.policy for origin in origins}, (flow, fixed.made)
        return Checked(True, bool(fixed.withdrawn), len(flows))
    finally:
        for each, text in good.items():
            each.write_text(text)


def without_types(_: Random, text: str) -> str:
    """Nobody wrote policyTypes."""
    return re.sub(r"(?m)^  policyTypes: .*\n", "", text)


def opened_flows(before: Input, after: Input) -> Iterator[tuple[PolicyIndex, Flow]]:
    """What a change opens, for pods of today and to come and for addresses outside: the ends of
    each range of ports of every pair, with the index to ask."""
    sides = comparable(before.cluster, after.cluster)
    old, new = map(compile_cluster, sides)
    found = plan_of_indexes(old, new)
    for outcome in (*found.outcomes, *found.newcomers):
        versions = (outcome.family,) if outcome.family else (4, 6)
        for protocol, low, high in outcome.opened.ranges():
            for near, far in product(_some(outcome.sources, new), _some(outcome.destinations, new)):
                if near.version == far.version in versions and near != far:
                    yield from ((new, Flow(near, far, protocol, port)) for port in {low, high})


def _some(who: OutcomeEnd, index: PolicyIndex) -> list[IPAddress]:
    """Addresses of each workload, or one of each block outside."""
    if who.outside is not None:
        return [network.network_address for network in who.outside.networks()]
    names = [f"{line.workload.namespace}/{pod}" for line in who.lines for pod in line.after]
    return [address for name in names for address in index.endpoints[name].addresses]


def test_what_a_fix_opens_is_decided_by_rules_of_the_policy_that_was_fixed(tmp_path: Path) -> None:
    tree = tmp_path / "shop"
    shutil.copytree(ROOT / "examples/shop", tree)
    rng = Random(0)

    found = [check_slip(rng, tree) for _ in range(80)]

    assert sum(each.made for each in found) > 25
    assert sum(each.opened > 0 for each in found) > 15
    assert sum(each.withdrawn for each in found) > 2


def test_no_key_is_written_twice(tmp_path: Path) -> None:
    """PF321 would rename a label to one that stands beside it."""
    path = tmp_path / "all.yaml"
    text = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: ops}\n---\n"
        "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: ops}\n---\n"
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: p, namespace: ops}\n"
        "spec:\n  podSelector: {}\n  ingress:\n  - from:\n    - namespaceSelector:\n"
        "        matchLabels: {name: ops, kubernetes.io/metadata.name: ops}\n"
    )
    path.write_text(text)
    podfence(["check", "-f", str(path), "--fix"])
    assert path.read_text().count("kubernetes.io/metadata.name") == 1


@pytest.mark.parametrize(
    "form",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
    ],
    ids=["CRLF", "BOM", "UTF-16"],
)
def test_a_file_keeps_its_line_ends_and_its_encoding(
    tmp_path: Path, form: Callable[[str], bytes]
) -> None:
    path = tmp_path / "p.yaml"
    text = (ROOT / "examples/newcomer/mistakes/api-metrics.yaml").read_text()
    spaces = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: monitoring}\n"
    before = text + spaces + f"---\n{APPS.replace('shop', 'store')}"
    path.write_bytes(form(before))
    done = podfence(["check", "-f", str(path), "--select", "PF321", "--fix"])
    assert "fixed: the key name becomes kubernetes.io/metadata.name" in done.err
    after = before.replace("{name: monitoring}", "{kubernetes.io/metadata.name: monitoring}", 1)
    assert path.read_bytes() == form(after)


@pytest.mark.parametrize("end", ["\r", "\r\n"], ids=["CR", "CRLF"])
def test_a_file_of_several_line_ends_is_left_and_named(tmp_path: Path, end: str) -> None:
    path = tmp_path / "p.yaml"
    text = (ROOT / "examples/newcomer/mistakes/api-metrics.yaml").read_text()
    spaces = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: monitoring}\n"
    before = (text.replace("\n", end) + spaces + f"---\n{APPS.replace('shop', 'store')}").encode()
    path.write_bytes(before)
    done = podfence(["check", "-f", str(path), "--select", "PF321", "--fix"])
    assert "the file has line ends of several kinds" in done.err
    assert path.read_bytes() == before
