"""``check --fix --unsafe``: fixes that a person has to ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.session import podfence

WORLD = """apiVersion: v1
kind: Namespace
metadata: {name: ops, labels: {team: ops}}
---
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {containers: [{name: m}]}
---
apiVersion: v1
kind: Pod
metadata: {name: api, namespace: ops, labels: {app: api}}
spec: {containers: [{name: m}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: ops}
spec: {clusterIP: 10.96.0.7, selector: {app: api}, ports: [{port: 80}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  podSelector: {matchLabels: {app: web}}
  policyTypes: [Egress]
  egress:
"""
TEAM = "    - namespaceSelector: {matchLabels: {team: ops}}\n"
SERVICE = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}, podSelector"
CODES = {
    "PF315": (
        f"  - to:\n{TEAM}    - podSelector: {{matchLabels: {{app: api}}}}\n",
        f"  - to:\n{TEAM}      podSelector: {{matchLabels: {{app: api}}}}\n",
        "spec.egress[0].to[1] and spec.egress[0].to[0] become one item",
    ),
    "PF340": (
        "  - to:\n    - ipBlock: {cidr: 10.96.0.7/32}   # the API\n",
        f"  - to:\n    - {{{SERVICE}: {{matchLabels: {{app: api}}}}}}   # the API\n",
        "the block becomes the pods behind Service ops/api",
    ),
    "PF341": (
        "  - to:\n    - ipBlock: {cidr: 0.0.0.0/0}\n",
        "  - to:\n    - ipBlock: {cidr: 0.0.0.0/0, except: [10.244.0.0/16]}\n",
        "except gets 10.244.0.0/16",
    ),
}


def check(directory: Path, *options: str) -> tuple[int, str]:
    (directory / "podfence.toml").write_text("[cluster]\npod-cidrs = ['10.244.0.0/16']\n")
    done = podfence(["check", "-f", "a.yaml", *options], directory=directory)
    return done.status, done.out + done.err


@pytest.mark.parametrize("code", CODES)
def test_a_fix_is_made_where_a_person_asks_for_it(code: str, tmp_path: Path) -> None:
    before, after, words = CODES[code]
    file = tmp_path / "a.yaml"
    file.write_text(WORLD + before)
    status, said = check(tmp_path, "--select", code, "--fix-diff")
    assert (status, file.read_text()) == (0, WORLD + before)
    assert "1 more edit with --unsafe, " in said

    status, said = check(tmp_path, "--select", code, "--fix-diff", "--unsafe")
    assert status == 1
    assert f"would fix (unsafe): {words}" in said
    assert "1 edit:" in said

    status, said = check(tmp_path, "--select", code, "--fix", "--unsafe")
    assert file.read_text() == WORLD + after
    assert f"fixed (unsafe): {words}" in said


API = "    - podSelector: {matchLabels: {app: api}}\n"
BLOCK = "    - ipBlock: {cidr: 10.96.0.7/32}\n"
PODS = f"    - {{{SERVICE}: {{matchLabels: {{app: api}}}}}}\n"
JOINED = f"{TEAM}      podSelector: {{matchLabels: {{app: api}}}}\n"
NOBODY = "    - podSelector: {matchLabels: {app: nobody}}\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{API}{TEAM}{BLOCK}{NOBODY}", f"{JOINED}{PODS}{NOBODY}"),
        (f"{NOBODY}{API}{TEAM}{BLOCK}", f"{NOBODY}{JOINED}{PODS}"),
        (f"{BLOCK}{TEAM}{API}{NOBODY}", f"{PODS}{JOINED}{NOBODY}"),
        (
            f"{API}{TEAM}{BLOCK}  - to:\n{API}{TEAM}{BLOCK}",
            f"{JOINED}{PODS}  - to:\n{JOINED}{PODS}",
        ),
    ],
)
def test_an_item_that_goes_moves_no_other_fix(before: str, after: str, tmp_path: Path) -> None:
    """Each finding names the position that its item had before any of them was edited."""
    codes = ",".join(CODES)
    (tmp_path / "a.yaml").write_text(f"{WORLD}  - to:\n{before}")
    check(tmp_path, "--select", codes, "--fix", "--unsafe")
    assert (tmp_path / "a.yaml").read_text() == f"{WORLD}  - to:\n{after}"


def test_two_fixes_of_one_item_wait_for_one_another(tmp_path: Path) -> None:
    """The second item that was torn from the same one would take the place of the first."""
    db = "---\napiVersion: v1\nkind: Pod\nmetadata: {name: db, namespace: ops, labels: {app: db}}\n"
    text = f"{db}spec: {{containers: [{{name: m}}]}}\n---\n{WORLD}  - to:\n{API}{TEAM}"
    other = API.replace("api", "db")
    (tmp_path / "a.yaml").write_text(text + other)
    said = check(tmp_path, "--select", "PF315", "--fix", "--unsafe")[1]
    assert "not fixed: another fix edits the same item; run it again" in said
    joined = text.removesuffix(API + TEAM) + JOINED
    assert (tmp_path / "a.yaml").read_text() == joined + other


def test_a_default_deny_is_written_beside_the_first_policy(tmp_path: Path) -> None:
    other = WORLD.replace("policyTypes: [Egress]\n  egress:\n", "policyTypes: [Ingress]\n")
    (tmp_path / "a.yaml").write_text(other)
    status, said = check(tmp_path, "--select", "PF351", "--fix-diff", "--unsafe")
    assert status == 1
    assert "a policy default-deny closes ingress of all its pods" in said
    assert "outside 0.0.0.0/0, ::/0 -> shop/+: closes all" in said
    check(tmp_path, "--select", "PF351", "--fix", "--unsafe")
    assert (tmp_path / "a.yaml").read_text().startswith(other)
    assert check(tmp_path, "--select", "PF351")[0] == 0


@pytest.mark.parametrize("notes", ["", ", annotations: {podfence.io/mode: audit}"])
def test_a_default_deny_takes_the_name_of_no_policy(notes: str, tmp_path: Path) -> None:
    """One that is audited has its name, too."""
    names = f"metadata: {{name: default-deny, namespace: shop{notes}}}\n"
    other = "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n" + names
    spec = "spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}\n"
    (tmp_path / "a.yaml").write_text(f"{WORLD}  - {{}}\n{other}{spec}")
    assert "PF351" in check(tmp_path, "--select", "PF351")[1]
    assert check(tmp_path, "--select", "PF351", "--fix-diff", "--unsafe")[0] == 0


def test_the_other_ip_family_is_added(tmp_path: Path) -> None:
    both = WORLD.replace(
        "labels: {app: web}}\nspec: {containers: [{name: m}]}\n",
        "labels: {app: web}}\nspec: {containers: [{name: m}]}\n"
        "status: {podIPs: [{ip: 10.0.0.1}, {ip: 'fd01::1'}]}\n",
    )
    (tmp_path / "a.yaml").write_text(f"{both}  - to:\n    - ipBlock: {{cidr: 0.0.0.0/0}}\n")
    check(tmp_path, "--select", "PF313", "--fix", "--unsafe")
    assert (
        (tmp_path / "a.yaml")
        .read_text()
        .endswith('    - ipBlock: {cidr: 0.0.0.0/0}\n    - ipBlock: {cidr: "::/0"}\n')
    )


def test_without_the_range_of_pods_nothing_is_guessed(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WORLD + CODES["PF341"][0])
    run = ["check", "-f", "a.yaml", "--select", "PF341", "--fix-diff", "--unsafe"]
    done = podfence(run, directory=tmp_path)
    assert (done.status, done.out) == (0, "")


@pytest.mark.parametrize("cidr", ["0.0.0.0/0", "::/0"])
def test_an_edit_that_a_server_would_refuse_is_not_made(cidr: str, tmp_path: Path) -> None:
    """An exception is a part of its block, never all of it."""
    (tmp_path / "a.yaml").write_text(f"{WORLD}  - to:\n    - ipBlock: {{cidr: '{cidr}'}}\n")
    (tmp_path / "podfence.toml").write_text(f"[cluster]\npod-cidrs = ['{cidr}']\n")
    run = ["check", "-f", "a.yaml", "--select", "PF341", "--fix-diff", "--unsafe"]
    done = podfence(run, directory=tmp_path)
    assert "not fixed: a server would refuse the result" in done.out
    assert "would fix" not in done.out


def test_unsafe_is_about_fixes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(WORLD + CODES["PF341"][0])
    status, said = check(tmp_path, "--unsafe")
    assert status == 2
    assert "--unsafe selects fixes; add --fix-diff or --fix" in said
