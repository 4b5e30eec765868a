"""``podfence.toml``: facts of the cluster that findings of ``check`` turn on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.session import podfence

NODE_LOCAL = "169.254.20.10/32"
BLOCK = "{to: [{ipBlock: {cidr: %s}}], ports: [%s]}"
UDP, TCP = "{protocol: UDP, port: 53}", "{port: 53}"


def pod(name: str, namespace: str, labels: str, spec: str = "containers: [{name: c}]") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}, labels: {{{labels}}}}}"
    return f"---\n{{apiVersion: v1, kind: Pod, metadata: {metadata}, spec: {{{spec}}}}}\n"


def out(*rules: str, namespace: str = "shop", labels: str = "app: web") -> str:
    spec = f"podSelector: {{matchLabels: {{{labels}}}}}, policyTypes: [Egress]"
    return (
        "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: out, "
        f"namespace: {namespace}}}, spec: {{{spec}, egress: [{', '.join(rules)}]}}}}\n"
    )


def to(labels: str, *ports: str, namespaces: str = "") -> str:
    pods = f"podSelector: {{matchLabels: {{{labels}}}}}"
    return f"{{to: [{{namespaceSelector: {{{namespaces}}}, {pods}}}], ports: [{', '.join(ports)}]}}"


WEB, DB = pod("web", "shop", "app: web"), pod("db", "shop", "app: db")
DNS = pod("resolver", "net", "app: resolver")
SERVICE = (
    "---\n{apiVersion: v1, kind: Service, metadata: {name: dns, namespace: net}, spec: {selector: "
    "{app: resolver}, ports: [{port: 53, protocol: UDP, targetPort: 1053}, {name: tcp, port: 53, "
    "targetPort: 1053}]}}\n"
)
AT_1053 = "{protocol: UDP, port: 1053}", "{port: 1053}"
PODS = '[cluster]\ndns = {pods = "net/app=resolver"}\n'
CACHE = '[cluster]\ndns = {node-local = "169.254.20.10"}\n'
PARTIAL = "[input]\npartial = true\n"


def found(tmp_path: Path, settings: str, *texts: str) -> list[tuple[str, str]]:
    (tmp_path / "podfence.toml").write_text(settings)
    done = podfence(
        ["check", "-f", "-", "-o", "json"], stdin="".join(texts).encode(), directory=tmp_path
    )
    assert not done.err, done.err
    return [(each["code"], each["severity"]) for each in json.loads(done.out)["problems"]]


@pytest.mark.parametrize(
    ("settings", "texts", "expected"),
    [
        ("", [DNS, out(to("app: resolver", UDP, TCP))], None),
        (PODS, [DNS, out(to("app: resolver", UDP, TCP))], None),
        (PODS, [DNS, out(to("app: db", UDP, TCP))], ("PF333", "error")),
        (PODS, [DNS, out(to("app: resolver", UDP))], ("PF333", "warning")),
        (PODS, [DNS, SERVICE, out(to("app: resolver", UDP, TCP))], ("PF333", "error")),
        (PODS, [DNS, SERVICE, out(to("app: resolver", *AT_1053))], None),
        (PODS, [out(to("app: db", TCP))], ("PF333", "warning")),
        (CACHE, [out(to("app: resolver", UDP))], ("PF334", "error")),
        (CACHE, [out(BLOCK % (NODE_LOCAL, f"{UDP}, {TCP}"))], None),
        (CACHE, [out(BLOCK % ("169.254.20.11/32", UDP))], ("PF334", "error")),
        (CACHE.replace("169.254.20.10", "fd00::a"), [out(BLOCK % ("fd00::/64", UDP))], None),
    ],
    ids=[
        "nobody said",
        "both",
        "other pods",
        "no TCP",
        "the port of the Service",
        "the port of the pods",
        "not read",
        "cache closed",
        "cache open",
        "another address",
        "IPv6",
    ],
)
def test_dns_is_where_the_settings_say(
    tmp_path: Path, settings: str, texts: list[str], expected: tuple[str, str] | None
) -> None:
    said = [
        each for each in found(tmp_path, settings, WEB, DB, *texts) if each[0] in ("PF333", "PF334")
    ]
    assert said == ([expected] if expected else [])


def test_a_finding_names_the_pods_that_the_settings_name(tmp_path: Path) -> None:
    (tmp_path / "podfence.toml").write_text(PODS)
    text = WEB + DB + DNS + out(to("app: db", TCP))
    done = podfence(["check", "-f", "-"], stdin=text.encode(), directory=tmp_path)
    add = "namespaceSelector {kubernetes.io/metadata.name: net} with podSelector {app: resolver}"
    assert add in done.out


@pytest.mark.parametrize(
    ("rule", "settings", "is_said"),
    [
        (to("app: db", TCP), "", True),
        (to("app: db", TCP), PODS, False),
        (to("app: resolver", TCP), PODS, True),
        (BLOCK % ("192.0.2.1/32", TCP), PODS, True),
        (f"{{ports: [{TCP}]}}", PODS, True),
    ],
    ids=["nobody said", "no DNS", "the DNS", "outside", "everybody"],
)
def test_tcp_alone_is_enough_for_others_than_dns(
    tmp_path: Path, rule: str, settings: str, is_said: bool
) -> None:
    codes = [code for code, _ in found(tmp_path, settings, WEB, DB, DNS, out(rule))]
    assert ("PF312" in codes) is is_said


@pytest.mark.parametrize(
    ("settings", "is_said"),
    [("", True), ('["shop"]', False), ('["other"]', True)],
)
def test_namespaces_that_may_ask_the_metadata_service(
    tmp_path: Path, settings: str, is_said: bool
) -> None:
    text = f"[check]\nmetadata-allowed = {settings}" if settings else ""
    codes = [code for code, _ in found(tmp_path, text, WEB, out(BLOCK % ("0.0.0.0/0", "")))]
    assert ("PF353" in codes) is is_said


@pytest.mark.parametrize(
    ("shared", "weights"),
    [
        ("[]", ["error", "error"]),
        ('["blue"]', []),
        ('["open=yes"]', []),
        ('["open=yes,tier=1"]', ["error", "error"]),
    ],
)
def test_shared_namespaces_by_name_and_by_labels(
    tmp_path: Path, shared: str, weights: list[str]
) -> None:
    spaces = [
        f"---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {labels}}}}}\n"
        for name, labels in (("red", "{team: r}"), ("blue", "{team: b, open: 'yes'}"))
    ]
    settings = f'[cluster]\ntenant-label = "team"\n[check]\nshared = {shared}\n'
    pods = pod("a", "red", "app: a"), pod("b", "blue", "app: b")
    said = found(tmp_path, settings, *spaces, *pods)
    assert [weight for code, weight in said if code == "PF355"] == weights


NOBODY = {
    "PF306": [out(labels="app: nothing-like-it")],
    "PF307": [out(to("app: nothing-like-it"))],
    "PF308": [
        pod("d", "shop", "app: d", "containers: [{name: c, ports: [{containerPort: 1}]}]"),
        out(to("app: d", "{port: sql}")),
    ],
    "PF320": [pod("gateway", "shop", "app: gateway"), out(to("app: gatewya"))],
    "PF325": [pod("mail", "post", "app: mail"), out(labels="app: mail")],
    "PF360": [
        pod("h", "shop", "app: h", "hostNetwork: true, containers: [{name: c}]"),
        out(labels="app: h"),
    ],
}


@pytest.mark.parametrize("code", NOBODY)
def test_with_partial_input_a_finding_about_nobody_is_a_note(tmp_path: Path, code: str) -> None:
    """A finding that says "nobody" is proved by the input alone where that is all there is."""
    weights = dict(found(tmp_path, PARTIAL, WEB, *NOBODY[code]))
    assert weights[code] == "note"
    assert dict(found(tmp_path, "", WEB, *NOBODY[code])).keys() >= {code}


def test_what_somebody_says_of_its_weight_goes_before(tmp_path: Path) -> None:
    settings = f'{PARTIAL}[check]\nseverity = {{PF320 = "error"}}\n'
    assert ("PF320", "error") in found(tmp_path, settings, WEB, *NOBODY["PF320"])


def test_dns_of_a_part_is_certain_where_no_rule_names_it(tmp_path: Path) -> None:
    for rule, weight in (to("app: db", UDP), "note"), (to("app: db", "{port: 1}"), "error"):
        assert ("PF333", weight) in found(tmp_path, PODS + PARTIAL, WEB, DB, DNS, out(rule))


@pytest.mark.parametrize(("settings", "is_edited"), [("", True), (PARTIAL, False)])
def test_in_a_part_a_misspelt_label_is_edited_only_when_asked_for(
    tmp_path: Path, settings: str, is_edited: bool
) -> None:
    (tmp_path / "podfence.toml").write_text(settings)
    (tmp_path / "a.yaml").write_text(WEB + "".join(NOBODY["PF320"]))
    fix = ["check", "-f", "a.yaml", "--select", "PF320", "--fix-diff"]
    assert podfence(fix, directory=tmp_path).status == int(is_edited)
    assert podfence([*fix, "--unsafe"], directory=tmp_path).status == 1


@pytest.mark.parametrize("here", [".", "below"])
def test_paths_are_those_from_the_folder_of_the_settings(tmp_path: Path, here: str) -> None:
    """Wherever the command runs, and however the file is named."""
    (tmp_path / "below").mkdir()
    (tmp_path / "old").mkdir()
    (tmp_path / "podfence.toml").write_text('[check.paths."old/*"]\nignore = ["PF320"]\n')
    (tmp_path / "old/a.yaml").write_text(WEB + "".join(NOBODY["PF320"]))
    relative = "old" if here == "." else "../old"
    for named in (relative, f"./{relative}", str(tmp_path / "old")):
        done = podfence(["check", "-f", named], directory=tmp_path / here)
        assert (done.status, "PF320" in done.out) == (0, False)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ("[cluster]\ndns = 5", "cluster.dns: use a table"),
        ("[cluster.dns]\nnode_local = ''", "no such key; did you mean cluster.dns.node-local?"),
        ("[cluster.dns]\nnode-local = '10.0.0.0/8'", "'10.0.0.0/8' is not an address"),
        ("[cluster.dns]\nnode-local = 5", "cluster.dns.node-local: use a string"),
        ("[cluster.dns]\npods = 'kube-dns'", "cluster.dns.pods: use a namespace and labels"),
        ("[cluster.dns]\npods = 'a/b=c,b=d'", "cluster.dns.pods: use a namespace and labels"),
        ("[input]\npartial = 'yes'", "input.partial: use true or false"),
        ("[input]\npart = true", "input.part: no such key; did you mean input.partial?"),
        ("[check]\nmetadata-allowed = ['Shop']", "'Shop' is not a valid namespace name"),
        ("[check]\nshared = ['=a']", "check.shared: use namespaces and labels"),
        ("[check]\nignore = ['near-miss-lable']", "did you mean near-miss-label?"),
        ("[cluster]\nplugin = 'calcio 3.1'", "'calcio 3.1': did you mean calico?"),
        ("[cluster]\nplugin = 'calico new'", "write a name and a version, such as cilium 1.15.3"),
        ("[cluster]\ntenant-label = 'my team'", "'my team' is not the key of a label"),
        ("[cluster]\napi-server = ['192.0.2.1:70000']", "'192.0.2.1:70000' is not an address"),
    ],
)
def test_settings_that_cannot_be_used(tmp_path: Path, settings: str, complaint: str) -> None:
    (tmp_path / "podfence.toml").write_text(settings)
    done = podfence(["check", "-f", "-"], stdin=WEB.encode(), directory=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert complaint in done.err


def test_settings_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "podfence.toml").write_bytes(b"\xef\xbb\xbf[check]\r\nignore = ['PF3']\r\n")
    done = podfence(["check", "-f", "-"], stdin=(WEB + out()).encode(), directory=tmp_path)
    assert (done.status, "PF3" in done.out) == (0, False)


@pytest.mark.parametrize("kind", ["a link to nothing", "a folder"])
def test_settings_that_are_no_file_are_an_error(tmp_path: Path, kind: str) -> None:
    if kind == "a folder":
        (tmp_path / "podfence.toml").mkdir()
    else:
        (tmp_path / "podfence.toml").symlink_to("nowhere")
    done = podfence(["check", "-f", "-"], stdin=WEB.encode(), directory=tmp_path)
    assert (done.status, done.out) == (2, "")
    assert "podfence.toml: " in done.err


@pytest.mark.parametrize(("label", "said"), [("team", False), ("taem", True)])
def test_a_label_of_tenants_that_nobody_has_is_told(tmp_path: Path, label: str, said: bool) -> None:
    space = "{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {team: red}}}"
    (tmp_path / "podfence.toml").write_text(f"[cluster]\ntenant-label = '{label}'\n")
    done = podfence(["check", "-f", "-"], stdin=space.encode(), directory=tmp_path)
    assert (
        "no namespace of the input has the label 'taem'; did you mean team?" in done.err
    ) is said


@pytest.mark.parametrize(
    ("plugin", "number"), [("cilium 1.15", 1), ("cilium 1.16", 0), ("any", 1), ("", 0)]
)
def test_what_some_plugin_lacks(tmp_path: Path, plugin: str, number: int) -> None:
    rule = to("app: db", "{port: 1000, endPort: 2000}")
    settings = f"[cluster]\nplugin = '{plugin}'\n" if plugin else ""
    codes = [code for code, _ in found(tmp_path, settings, WEB, DB, out(rule))]
    assert codes.count("PF364") == number
