"""What people see, byte for byte: one transcript a command under tests/golden/cli.

``PODFENCE_UPDATE_GOLDEN=1`` writes the transcripts; review the difference.
"""

from __future__ import annotations

import shlex

import pytest

from tests.cli.session import GOLDEN, ROOT, compare, podfence

SHOP = "-f examples/shop"
STATES = "-f tests/cli/inputs/states.yaml"
FAMILIES = "-f tests/cli/inputs/families.yaml"
MIXED = "-f tests/cli/inputs/mixed.yaml"
TIERS = "-f examples/tiers/cluster"
NAMES = "--resolve examples/tiers/names.txt"
BAD_NAMES = "--resolve tests/cli/inputs/bad-names"
MISTAKES = "-f examples/tiers/cluster/pods.yaml -f examples/tiers/mistakes"
OLDER = "-f tests/cli/inputs/older.yaml"
OTHERS = "-f tests/cli/inputs/others.yaml"
PLAN = "examples/shop/policies examples/plan -f examples/shop --exclude policies/"
CLOSING = "tests/cli/inputs/plan/flat.yaml tests/cli/inputs/plan/closed.yaml"
BACK = "examples/plan examples/shop/policies -f examples/shop --exclude policies/"
TOMORROW = "tests/cli/inputs/plan/old.yaml tests/cli/inputs/plan/open.yaml"
GOTCHAS = "-f examples/gotchas/workloads.yaml"
TESTS = "tests/cli/inputs/tests"
QUERIES = "can -o json --queries tests/cli/inputs"

COMMANDS = {
    "bare": "",
    "map-shop-table": f"map {SHOP}",
    "map-shop-wide": f"map {SHOP} -o wide",
    "map-shop-matrix": f"map {SHOP} -o matrix",
    "map-shop-json": f"map {SHOP} -o json",
    "map-shop-csv": f"map {SHOP} -o csv",
    "map-shop-dot": f"map {SHOP} -o dot",
    "map-shop-mermaid": f"map {SHOP} -o mermaid",
    "map-shop-monitoring": f"map {SHOP} -n monitoring",
    "map-shop-monitoring-dot": f"map {SHOP} -n monitoring -o dot",
    "map-shop-monitoring-matrix": f"map {SHOP} -n monitoring -o matrix",
    "map-states": f"map {STATES}",
    "map-states-json": f"map {STATES} -o json",
    "map-families-table": f"map {FAMILIES}",
    "map-families-matrix": f"map {FAMILIES} -o matrix",
    "map-families-csv": f"map {FAMILIES} -o csv",
    "map-families-json": f"map {FAMILIES} -o json",
    "map-mixed": f"map {MIXED}",
    "map-mixed-keep-going": f"map {MIXED} --keep-going",
    "map-empty": "map -f /dev/stdin",
    "map-no-pods": "map -f tests/cli/inputs/unbuilt",
    "map-others": f"map {OTHERS}",
    "map-unknown-namespace": f"map {SHOP} -n shopp",
    "can-yes": f"can shop/backend shop/db:5432 {SHOP}",
    "can-yes-named-port": f"can shop/frontend shop/backend:http {SHOP}",
    "can-yes-in-namespace": f"can backend db:sql -n shop {SHOP}",
    "can-no": f"can shop/frontend shop/db:5432 {SHOP}",
    "can-no-json": f"can shop/frontend shop/db:5432 {SHOP} -o json",
    "can-some-pods": f"can shop/frontend shop/statefulset/db:9103 {SHOP}",
    "can-outside": f"can 198.51.100.200 monitoring/prometheus:web {SHOP}",
    "can-outside-ipv6": f"can shop/backend [2001:db8:113::5]:443 {SHOP}",
    "can-icmp": f"can shop/web shop/db-0:/icmp {STATES}",
    "can-from-own-node": f"can 192.168.1.10 shop/db-0:5432 {STATES}",
    "can-to-node": f"can shop/web 192.168.1.10:443 {STATES}",
    "can-host-network": f"can shop/web shop/host:443 {STATES}",
    "can-pending-source": f"can shop/pend shop/db-0:5432 {STATES}",
    "can-pending-target": f"can shop/db-0 shop/pend:80 {STATES}",
    "can-finished": f"can shop/done shop/db-0:5432 {STATES}",
    "can-finished-address": f"can shop/web 10.244.1.9:80 {STATES}",
    "can-service-name": f"can shop/web shop/db:3306 {STATES}",
    "can-dns-name": f"can shop/web db.shop.svc.cluster.local:3306 {STATES}",
    "can-dns-name-of-pod": f"can shop/web db-0.db.shop.svc.cluster.local:3306 {STATES}",
    "can-dns-name-unread": f"can cache.shop.svc shop/db-0:3306 {STATES}",
    "can-cluster-ip": f"can shop/web 10.96.0.50:3306 {STATES}",
    "can-family-differs": f"can 10.244.0.2 net/both:9000 {FAMILIES}",
    "can-no-shared-family": f"can net/four net/six:80 {FAMILIES}",
    "can-unreadable-policy": f"can fine/good torn/judged:80 {MIXED}",
    "can-keep-going": f"can fine/good torn/judged:80 {MIXED} --keep-going",
    "can-bare-ipv6": f"can shop/web fd00:1::6:5432 {STATES}",
    "can-no-port": f"can shop/web shop/db-0 {STATES}",
    "can-unknown-port-name": f"can shop/web shop/db-0:http {STATES}",
    "can-port-of-source": f"can shop/web:80 shop/db-0:80 {STATES}",
    "can-other-namespace": f"can web shop/db-0:80 {STATES}",
    "can-nothing-asked": f"can {STATES}",
    "queries": f"{QUERIES}/queries.json {STATES}",
    "queries-bad": f"{QUERIES}/bad-queries.json {STATES}",
    "queries-not-a-list": f"can -o json --queries docs/schemas/map.schema.json {STATES}",
    "queries-as-text": f"can --queries tests/cli/inputs/queries.json {STATES}",
    "queries-missing": f"{QUERIES}/missing.json {STATES}",
    "why-no": f"why shop/frontend shop/db:5432 {SHOP}",
    "why-yes": f"why shop/backend shop/db:sql {SHOP}",
    "why-json": f"why shop/frontend shop/db:5432 {SHOP} -o json",
    "why-wrong-port": f"why monitoring/prometheus shop/db:5432 {SHOP}",
    "plan": f"plan {PLAN}",
    "plan-wide": f"plan {PLAN} -o wide",
    "plan-json": f"plan {PLAN} -o json",
    "plan-markdown": f"plan {PLAN} -o markdown",
    "plan-sarif": f"plan {PLAN} -o sarif",
    "plan-github": f"plan {PLAN} -o github",
    "test": f"test examples/tests/shop.podfence.yaml {SHOP}",
    "test-failing": f"test {TESTS}/failing.podfence.yaml {SHOP}",
    "test-failing-json": f"test {TESTS}/failing.podfence.yaml {SHOP} -o json",
    "test-failing-junit": f"test {TESTS}/failing.podfence.yaml {SHOP} -o junit",
    "test-failing-tap": f"test {TESTS}/failing.podfence.yaml {SHOP} -o tap",
    "test-failing-github": f"test {TESTS}/failing.podfence.yaml {SHOP} -o github",
    "test-vacuous-strict": f"test {TESTS}/vacuous.podfence.yaml {SHOP} --strict",
    "test-vacuous-json": f"test {TESTS}/vacuous.podfence.yaml {SHOP} -o json",
    "test-mutate": f"test examples/tests/shop.podfence.yaml {SHOP} --mutate --score 77",
    "test-mutate-json": f"test examples/tests/shop.podfence.yaml {SHOP} -o json --mutate",
    "test-mutate-junit": f"test examples/tests/shop.podfence.yaml {SHOP} -o junit --mutate",
    "test-score-alone": f"test examples/tests/shop.podfence.yaml {SHOP} --score 77",
    "test-init": f"test --init shop {SHOP}",
    "test-init-unknown": f"test --init shopp {SHOP}",
    "test-init-unread": f"test --init torn {MIXED}",
    "test-init-open": f"test --init watch {GOTCHAS}",
    "test-one": f"test {TESTS}/failing.podfence.yaml {SHOP} --tag db",
    "test-none": f"test {TESTS}/failing.podfence.yaml {SHOP} --run nothing",
    "test-broken": f"test {TESTS}/broken.podfence.yaml {SHOP}",
    "test-no-tests": f"test examples/shop {SHOP}",
    "test-no-file": f"test {SHOP}",
    "test-unknown-format": f"test {TESTS}/broken.podfence.yaml {SHOP} -o xml",
    "test-two-formats": f"test {TESTS}/broken.podfence.yaml {SHOP} -o tap -o text",
    "test-undecided": f"test {TESTS}/mixed.podfence.yaml {MIXED}",
    "test-undecided-keep-going": f"test {TESTS}/mixed.podfence.yaml {MIXED} --keep-going",
    "plan-nothing-github": "plan examples/shop examples/shop -o github",
    "plan-nothing-sarif": "plan examples/shop examples/shop -o sarif",
    "plan-order": f"plan {CLOSING} --order --no-newcomers",
    "plan-order-json": f"plan {CLOSING} --order --no-newcomers -o json",
    "plan-reversed": f"diff {BACK}",
    "plan-nothing": "plan examples/shop examples/shop",
    "plan-tomorrow": f"plan {TOMORROW}",
    "plan-today": f"plan {TOMORROW} --no-newcomers",
    "plan-arrives": "plan examples/shop/policies examples/shop",
    "plan-unread": "plan tests/cli/inputs/plan/old.yaml tests/cli/inputs/plan/torn.yaml",
    "plan-unread-keep-going": (
        "plan tests/cli/inputs/plan/old.yaml tests/cli/inputs/plan/torn.yaml --keep-going"
    ),
    "plan-unread-same": "plan tests/cli/inputs/plan/torn.yaml tests/cli/inputs/plan/torn.yaml",
    "plan-missing": "plan examples/shop nowhere",
    "plan-one-side": "plan examples/shop",
    "plan-stdin-twice": "plan - -",
    "check-shop": f"check {SHOP}",
    "check-broken": "check -f examples/broken",
    "check-broken-json": "check -f examples/broken -o json",
    "check-mixed": f"check {MIXED}",
    "check-empty": "check -f /dev/stdin",
    "check-empty-json": "check -f /dev/stdin -o json",
    "check-others": f"check {OTHERS}",
    "check-others-json": f"check {OTHERS} -o json",
    "check-repository": "check -f examples/repository",
    "check-repository-named": "check -f examples/repository/renovate.json",
    "check-gotchas": "check -f examples/gotchas",
    "check-gotchas-json": "check -f examples/gotchas -o json",
    "check-gotchas-server-only": "check -f examples/gotchas --server-only",
    "check-unbuilt": "check -f tests/cli/inputs/unbuilt",
    "describe-shop-backend": f"describe shop/backend {SHOP}",
    "describe-by-name": f"describe metrics -n shop {SHOP}",
    "describe-ambiguous": f"describe default-deny {SHOP}",
    "describe-unknown": f"describe shop/nope {SHOP}",
    "describe-workload": f"describe monitoring/prometheus-1 {SHOP}",
    "describe-workload-by-kind": f"describe sts/db -n shop {SHOP}",
    "describe-workload-json": f"describe deploy/frontend -n shop {SHOP} -o json",
    "describe-host-network": f"describe shop/host {STATES}",
    "describe-address": f"describe 198.51.100.1 {SHOP}",
    "describe-policy-json": f"describe shop/backend {SHOP} -o json",
    "describe-workload-mixed": f"describe torn/judged {MIXED}",
    "describe-tutorial": "describe -f examples/tutorials/02-first-steps",
    "agent-render": f"agent render --node n1 {STATES}",
    "agent-render-json": f"agent render --node n1 {STATES} -o json",
    "agent-render-bad-range": f"agent render --node n1 {STATES} --pod-cidr 10.244.0.1/16",
    "agent-render-unknown": f"agent render --node n11 {STATES}",
    "agent-render-no-nodes": f"agent render --node n1 {SHOP}",
    "agent-render-unread": f"agent render --node n1 {MIXED}",
    "tiers-map": f"map {TIERS}",
    "tiers-map-names": f"map {TIERS} {NAMES} -n blue",
    "tiers-can-deny": f"can blue/web red/web:8080 {TIERS}",
    "tiers-can-deny-json": f"can blue/web red/web:8080 {TIERS} -o json",
    "tiers-can-default": f"can 198.51.100.7 blue/web:8080 {TIERS}",
    "tiers-can-dns": f"can blue/web 203.0.113.10:443 {TIERS}",
    "tiers-can-dns-json": f"can blue/web 203.0.113.10:443 {TIERS} -o json",
    "tiers-can-dns-other-port": f"can blue/web 203.0.113.10:80 {TIERS}",
    "tiers-can-names": f"can blue/web 203.0.113.10:443 {TIERS} {NAMES}",
    "tiers-can-names-bad": f"can blue/web 203.0.113.10:443 {TIERS} {BAD_NAMES}.txt",
    "tiers-can-names-bad-yaml": f"can blue/web red/web:1 {TIERS} {BAD_NAMES}.yaml",
    "tiers-can-names-missing": f"can blue/web red/web:1 {TIERS} --resolve nowhere.txt",
    "tiers-can-names-stdin-twice": "can blue/web red/web:1 -f - --resolve -",
    "tiers-queries": f"{QUERIES}/tier-queries.json {TIERS}",
    "tiers-why-admin": f"why blue/web red/web:8080 {TIERS}",
    "tiers-why-pass": f"why red-jobs/report red/db:5432 {TIERS}",
    "tiers-why-pass-json": f"why red-jobs/report red/db:5432 {TIERS} -o json",
    "tiers-why-baseline": f"why blue/web 203.0.113.10:443 {TIERS}",
    "tiers-why-default": f"why 198.51.100.7 blue/web:8080 {TIERS}",
    "tiers-why-monitoring": f"why monitoring/prometheus red/db:metrics {TIERS}",
    "tiers-why-self": f"why red/web red/web:8080 {TIERS}",
    "tiers-describe-base": f"describe base {TIERS} {NAMES}",
    "tiers-describe-without-names": f"describe base {TIERS}",
    "tiers-describe-tenant": f"describe clusternetworkpolicy/tenant-red {TIERS}",
    "tiers-describe-networkpolicy": f"describe red/db {TIERS}",
    "tiers-describe-workload": f"describe red/db-0 {TIERS} {NAMES}",
    "tiers-describe-workload-json": f"describe blue/web {TIERS} -o json",
    "tiers-describe-mistake": f"describe no-internet {MISTAKES}",
    "tiers-check": f"check {TIERS}",
    "tiers-check-mistakes": f"check {MISTAKES}",
    "tiers-check-mistakes-json": f"check {MISTAKES} -o json",
    "older-why": f"why old/web old/db:5432 {OLDER}",
    "older-why-json": f"why old/web old/db:5432 {OLDER} -o json",
    "older-describe": f"describe {OLDER}",
    "older-describe-several": f"describe default {OLDER}",
    "older-check": f"check {OLDER}",
    "tiers-unreadable": "map -f tests/cli/inputs/torn-tier.yaml",
    "tiers-unreadable-keep-going": "map -f tests/cli/inputs/torn-tier.yaml --keep-going",
    "unknown-command": "mpa",
    "unknown-command-far": "verify",
    "unknown-command-of-lab": "lab ls",
    "bare-lab": "lab",
    "unknown-option": f"map {SHOP} --json",
    "unknown-format": f"map {SHOP} -o yaml",
    "no-files": "map",
    "no-files-but-a-path": "map examples/shop -o wide",
    "no-files-but-the-value-of-an-option": "map -n examples",
    "no-files-of-lab": "lab run examples/shop",
    "no-files-but-a-path-behind": "can shop/web shop/db:80 examples/shop",
    "missing-file": "check -f nowhere.yaml",
}


@pytest.mark.parametrize("name", COMMANDS)
def test_command_prints_what_its_transcript_says(name: str) -> None:
    arguments = shlex.split(COMMANDS[name].replace("/dev/stdin", "-"))
    done = podfence(arguments)
    compare(f"{name}.txt", done.transcript(" ".join(["podfence", *arguments])))


def test_every_transcript_has_its_command() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(COMMANDS)


def test_a_transcript_never_names_a_place_outside_the_project() -> None:
    assert not [path for path in GOLDEN.iterdir() if str(ROOT) in path.read_text("utf-8")]
