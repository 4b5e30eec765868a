"""Charts and kustomizations: what is started, with what, and what becomes of its output.

A stand-in that speaks the command line of helm, or of kustomize, is the only program on PATH.
"""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from unittest import mock

import pytest

from podfence.manifests import rendering
from tests.cli.session import Done, podfence

POLICY = """apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: NAME}
spec: {podSelector: {}, ingres: []}
"""
POD = (
    "apiVersion: v1\nkind: Pod\nmetadata: {name: web, labels: {app: web}}\n"
    "spec: {containers: [{name: c}]}\n"
)
OUTPUT = (
    "---\n# Source: shop/templates/pod.yaml\n" + POD + "---\n# Source: shop/templates/netpol.yaml\n"
    + POLICY.replace("NAME", "one") + "---\n# Source: shop/templates/netpol.yaml\n"
    + POLICY.replace("NAME", "two")
)  # fmt: skip
STAND_IN = """#!{python}
import json, os, sys
if sys.argv[1] == "version":
    print("v3.99.1+gabc")
    sys.exit()
with open({log!r}, "a") as log:
    log.write(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}) + "\\n")
{body}
"""
PRINTS = "sys.stdout.write({text!r})"


LOGGED = 'E1130 18:45:04.620547   14339 run.go:72] "command failed" err="no \\"x\\""'
"""What kubectl says last."""
PLAIN = "template shop ./shop --namespace=default --skip-tests"


class Bench:
    """A directory with a chart ``shop``, a kustomization ``overlay``, and one program."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.log = directory / "calls"
        self.write("shop/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n")
        self.write("shop/templates/pod.yaml", "{{ if true }}\n" + POD + "{{ end }}\n")
        self.write("base/kustomization.yaml", "resources: [policy.yaml]\n")
        self.write("base/policy.yaml", POLICY.replace("NAME", "base"))
        self.write("overlay/kustomization.yaml", "resources: [../base]\n")

    def write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text(text)

    def program(self, name: str, body: str = PRINTS.format(text=OUTPUT)) -> None:
        path = self.programs / name
        path.write_text(STAND_IN.format(python=sys.executable, log=str(self.log), body=body))
        path.chmod(0o755)

    def run(self, *words: str) -> Done:
        with mock.patch.dict(os.environ, {"PATH": str(self.programs), "SECRET": "x"}):
            return podfence(words, directory=self.directory)

    @property
    def calls(self) -> list[dict[str, object]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def arguments(self) -> list[str]:
        return [shlex.join(map(str, _list(call["arguments"]))) for call in self.calls]


def _list(value: object) -> Sequence[object]:
    assert isinstance(value, list)
    return value


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


# -- what is started, and what is not


@pytest.mark.parametrize(
    "words",
    [
        ["-f", "."],
        ["-f", "shop/templates"],
        ["-f", "shop/Chart.yaml", "--render", "never"],
        ["-f", "shop", "-f", "overlay", "--render", "never"],
    ],
)
def test_nothing_is_started_that_was_not_named(bench: Bench, words: list[str]) -> None:
    bench.program("helm")
    bench.program("kustomize")
    bench.run("check", *words)
    assert bench.calls == []


@pytest.mark.parametrize(("status", "done"), [(0, 0), (3, 2)])
def test_what_a_program_says_is_stored_nowhere(bench: Bench, status: int, done: int) -> None:
    """However much it is: it may not write files of more than 1 MiB, and says eight."""
    lines = [
        "import resource",
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))",
        "sys.stderr.write('the first words\\n' + 'x' * (8 << 20))",
        "sys.stderr.flush()",
        PRINTS.format(text=OUTPUT.replace("ingres:", "ingress:")),
        f"sys.exit({status})",
    ]
    bench.program("helm", "\n".join(lines))
    found = bench.run("check", "-f", "shop/Chart.yaml", "--select", "PF321")
    assert found.status == done, found.err
    assert ("helm template failed: the first words; xxx" in found.err) is bool(status)
    assert len(found.err) < 100_000


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (["-f", "shop/Chart.yaml"], PLAIN),
        (["-f", "shop"], PLAIN),
        (["-f", "shop/"], PLAIN),
        (["-f", ".", "--render", "always", "--exclude", "overlay", "--exclude", "base"], PLAIN),
        (
            ["-f", "shop/Chart.yaml", "--input-namespace", "prod", "--release", "r1"],
            "template r1 ./shop --namespace=prod --skip-tests",
        ),
        (
            ["-f", "shop/Chart.yaml", "--values", "v.yaml", "--set", "a=$(id)", "--set", "b=1"],
            f"{PLAIN} --values=./v.yaml '--set=a=$(id)' --set=b=1",
        ),
        (
            "-f shop --api-versions x.io/v1/Y --api-versions v2 --kube-version 1.31.0".split(),
            f"{PLAIN} --api-versions=x.io/v1/Y --api-versions=v2 --kube-version=1.31.0",
        ),
    ],
)
def test_helm_is_told_what_was_given(bench: Bench, words: list[str], arguments: str) -> None:
    bench.program("helm")
    bench.write("v.yaml", "{}")
    bench.run("check", *words)
    assert bench.arguments == [arguments]


def test_the_version_of_the_server_counts_for_every_question(bench: Bench) -> None:
    """A server older than 1.36 warns of a block with host bits; a newer one refuses it."""
    block = "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1/8}}]}]}"
    bench.write(
        "odd.yaml", POLICY.replace("spec: {podSelector: {}, ingres: []}", block) + f"---\n{POD}"
    )
    for version, code in (("1.35", "PF206"), ("v1.36.2", "PF203")):
        for question in ("map", "check"):
            done = bench.run(question, "-f", "odd.yaml", "--kube-version", version)
            assert f"[{code}]" in done.out + done.err


def test_a_directory_is_never_an_option(bench: Bench) -> None:
    bench.program("helm")
    bench.write("--post-renderer=x/Chart.yaml", "name: --debug\n")
    bench.run("check", "-f", "--post-renderer=x/Chart.yaml")
    [call] = bench.arguments
    assert call == "template release ./--post-renderer=x --namespace=default --skip-tests"


def test_the_program_sees_no_more_of_the_environment_and_no_network(bench: Bench) -> None:
    bench.program("helm")
    bench.run("check", "-f", "shop/Chart.yaml")
    environment = bench.calls[0]["environment"]
    assert isinstance(environment, dict)
    assert "SECRET" not in environment
    assert environment["HTTPS_PROXY"] == "http://127.0.0.1:9"
    assert environment["GIT_ALLOW_PROTOCOL"] == "none"


def test_kustomize_goes_before_kubectl(bench: Bench) -> None:
    bench.program("kubectl", PRINTS.format(text=POD))
    done = bench.run("check", "-f", "overlay/kustomization.yaml")
    assert "rendered overlay with kubectl kustomize\n" in done.err
    bench.program("kustomize", PRINTS.format(text=POD))
    done = bench.run("check", "-f", "overlay/kustomization.yaml")
    assert "rendered overlay with kustomize v3.99.1\n" in done.err
    assert bench.arguments == ["kustomize ./overlay", "build ./overlay"]


# -- what becomes of the output


def test_positions_are_those_of_templates(bench: Bench) -> None:
    bench.program("helm")
    done = bench.run("check", "-f", "shop/Chart.yaml")
    said = "rendered shop with helm v3.99.1 (release shop, namespace default)\n"
    assert said in done.err
    positions = [line.partition(": ")[0] for line in done.out.splitlines() if "PF201" in line]
    assert positions == [
        "shop/templates/netpol.yaml (rendered):6:25",
        "shop/templates/netpol.yaml (rendered):12:25",
    ]


def test_objects_are_in_the_namespace_of_the_release(bench: Bench) -> None:
    bench.program("helm", PRINTS.format(text=POD))
    done = bench.run("map", "-f", "shop/Chart.yaml", "--input-namespace", "prod")
    assert "prod/web" in done.out


@pytest.mark.parametrize(
    ("template", "said"), [('{{ lookup "v1" "Secret" "a" "b" }}', True), ("# lookup it", False)]
)
def test_a_chart_that_asks_a_cluster_is_said(bench: Bench, template: str, said: bool) -> None:
    bench.program("helm")
    bench.write("shop/templates/more.yaml", template)
    done = bench.run("check", "-f", "shop/Chart.yaml")
    assert ("it uses lookup, which finds nothing" in done.err) is said


def test_other_files_are_read_beside_it(bench: Bench) -> None:
    bench.program("helm", PRINTS.format(text=POD))
    done = bench.run("check", "-f", "shop/Chart.yaml", "-f", "base/policy.yaml")
    assert "2 files: 1 NetworkPolicy, 1 Pod" in done.out


def test_of_a_directory_each_thing_is_rendered_once(bench: Bench) -> None:
    """What a kustomization is made of is neither rendered nor read besides, nor are parts of a
    chart; a library gives nothing by itself."""
    bench.program("helm", PRINTS.format(text=POD))
    bench.program("kustomize", PRINTS.format(text=POLICY.replace("ingres:", "ingress:")))
    bench.write("shop/charts/inner/Chart.yaml", "name: inner\n")
    bench.write("common/Chart.yaml", "name: common\ntype: library\n")
    bench.write("plain.yaml", POD.replace("name: web", "name: plain"))
    done = bench.run("check", "-f", ".", "--render", "always")
    assert bench.arguments == [
        PLAIN,
        "build ./overlay",
    ]
    assert "1 NetworkPolicy, 2 Pod" in done.out


def test_a_directory_that_is_named_is_rendered_if_it_holds_the_file_itself(bench: Bench) -> None:
    """What is below it is not, and what it is made of is not read besides."""
    bench.program("kustomize", PRINTS.format(text=POD))
    bench.write("base/inner/Chart.yaml", "name: inner\n")
    done = bench.run("check", "-f", "base")
    assert bench.arguments == ["build ./base"]
    assert "1 file: 1 Pod" in done.out


def test_files_of_a_kustomization_are_read_as_they_are_where_nothing_shall_be_rendered(
    bench: Bench,
) -> None:
    done = bench.run("check", "-f", "base", "--render", "never")
    assert "1 NetworkPolicy" in done.out


def test_what_is_excluded_is_not_rendered(bench: Bench) -> None:
    bench.program("helm")
    bench.program("kustomize")
    bench.run(
        "check", "-f", ".", "--render", "always", "--exclude", "shop/", "--exclude", "overlay/"
    )
    assert bench.arguments == ["build ./base"]


def test_a_plan_compares_what_is_rendered(bench: Bench) -> None:
    bench.program("helm", "print(open(os.path.join(sys.argv[3], 'out')).read())")
    closed = POLICY.replace("ingres:", "ingress:")
    for name, text in (("old", POD), ("new", f"{POD}---\n{closed}")):
        bench.write(f"{name}/Chart.yaml", "name: shop\n")
        bench.write(f"{name}/out", text)
    done = bench.run("plan", "old/Chart.yaml", "new/Chart.yaml")
    assert done.status == 1
    assert "new/ (rendered)" not in done.out
    assert "closes" in done.out


# -- what goes wrong


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-f", "shop/Chart.yaml"], "error[PF010]: shop: helm is not installed here"),
        (["-f", "overlay/kustomization.yaml"], "overlay: neither kustomize nor kubectl is"),
    ],
)
def test_a_program_that_is_missing_is_an_error(bench: Bench, words: list[str], said: str) -> None:
    done = bench.run("check", *words)
    assert done.status == 2
    assert said in done.err
    assert "pipe in the result" in done.err
    assert not done.out


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (
            "sys.exit('Error: dependencies are missing:\\n\\tredis')",
            "shop: helm template failed: dependencies are missing:; redis",
        ),
        (
            f"sys.exit({LOGGED!r})",
            'shop: helm template failed: no "x"',
        ),
        ("sys.exit('W1130 18:45:04.6 7 a.go:2] old\\nerror: gone')", "failed: old; gone"),
        ("sys.stderr.write('\\x1b[31mred'); sys.exit(3)", "failed: \\x1b[31mred"),
        ("sys.exit(1)", "failed: it does not say why"),
        ("sys.stdout.buffer.write(b'a: \\xff')", "is not UTF-8 text"),
        ("sys.stdout.write('x' * 5000)", "printed more than"),
        ("import time; time.sleep(300)", "took longer than"),
        ("import subprocess; subprocess.run(['/bin/sleep', '300'])", "took longer than"),
        ("import subprocess; subprocess.Popen(['/bin/sleep', '300'])", "took longer than"),
        ("os.kill(os.getpid(), 9)", "failed: it does not say why"),
    ],
    ids=[
        "its words",
        "a log of Kubernetes",
        "two lines of it",
        "colours",
        "silence",
        "bytes",
        "size",
        "time",
        "children",
        "left",
        "killed",
    ],
)
def test_a_program_that_fails_is_an_error(
    bench: Bench, body: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``left``: it has ended, and what it has started holds its output for longer."""
    monkeypatch.setattr(rendering, "MAX_BYTES", 1000)
    monkeypatch.setattr(rendering, "SECONDS", 1 if said == "took longer than" else 60)
    bench.program("helm", body)
    done = bench.run("check", "-f", "shop/Chart.yaml")
    assert done.status == 2
    assert "error[PF010]" in done.err
    assert said in done.err
    assert not done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-f", "base", "--values", "v.yaml"], "or use --render always"),
        (["-f", "overlay/kustomization.yaml", "--set", "a=b"], "or use --render always"),
        (["-f", "shop/Chart.yaml", "--values", "none.yaml"], "none.yaml: no such values file"),
        (["-f", "shop/Chart.yaml", "--values", "https://a.example/v"], "no such values file"),
        (["-f", "shop/Chart.yaml", "--release", "--debug"], "is not a valid release name"),
        (["-f", "shop", "--kube-version", "new"], "is not a version; write for example 1.35"),
        (["-f", "shop", "--api-versions", "a b"], "write GROUP/VERSION"),
        (["-f", "base/policy.yaml", "--api-versions", "x/v1"], "are for charts"),
        (["--render", "always"], "charts are files, and no file is given"),
        (["-f", "shop/Chart.yaml", "--fix"], "not rendered manifests; use --fix-diff"),
    ],
)
def test_options_that_make_no_sense_are_refused(bench: Bench, words: list[str], said: str) -> None:
    bench.program("helm")
    done = bench.run("check", *words)
    assert done.status == 2
    assert said in done.err
    assert bench.calls == []


def test_hostile_names_in_the_output_stay_names(bench: Bench) -> None:
    text = "---\n# Source: shop/../../etc/\x1b[31mx\n" + POD.replace("apiVersion", "apiVersio")
    bench.program("helm", PRINTS.format(text=text))
    done = bench.run("check", "-f", "shop/Chart.yaml")
    assert "\x1b" not in done.out + done.err


def test_what_a_program_has_started_ends_with_it(bench: Bench) -> None:
    """Also where the program is done and has said all."""
    start = "import subprocess; found = subprocess.Popen(['/bin/sleep', '60'], stdout=2)"
    note = f"open({str(bench.directory / 'started')!r}, 'w').write(str(found.pid))"
    bench.program("helm", f"{start}\n{note}\n{PRINTS.format(text=POD)}")
    assert bench.run("map", "-f", "shop/Chart.yaml").status == 0
    left = Path(f"/proc/{(bench.directory / 'started').read_text()}/stat")
    for _ in range(600):  # killed it is; the kernel may need a moment on a busy machine
        if ended := not left.exists() or left.read_text().rpartition(") ")[2].startswith("Z"):
            break
        time.sleep(0.1)
    assert ended


@pytest.mark.parametrize("text", ["# Source: a" + " " * 200_000 + "b", "# " + "{" * 400_000])
def test_long_lines_cost_what_they_are_long(bench: Bench, text: str) -> None:
    """Ten seconds and more where each blank is looked at from each other one."""
    bench.write("shop/templates/long.yaml", text)
    bench.program("helm", PRINTS.format(text=f"---\n{POD}") + f"; print('---\\n' + {text!r})")
    assert bench.run("map", "-f", "shop/Chart.yaml").status == 0


def test_a_pipe_among_the_templates_is_not_read(bench: Bench) -> None:
    os.mkfifo(bench.directory / "shop" / "templates" / "pipe.yaml")
    bench.program("helm", PRINTS.format(text=POD))
    assert bench.run("map", "-f", "shop/Chart.yaml").status == 0


@pytest.mark.parametrize("name", ["kustomization.yaml", "kustomization.yml", "Kustomization"])
@pytest.mark.parametrize("given", ["over", "over/{name}"])
def test_every_name_of_a_kustomization_is_known(bench: Bench, name: str, given: str) -> None:
    bench.program("kustomize")
    bench.write(f"over/{name}", "resources: [../base]\n")
    bench.write(f"base/{name}", "resources: [policy.yaml]\n")
    done = bench.run("check", "-f", given.format(name=name))
    assert [call["arguments"] for call in bench.calls] == [["build", "./over"]]
    assert f"over/{name} (rendered):" in done.out


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("shop/values.yaml", "part of a Helm chart: -f shop renders it"),
        ("shop/Chart.yaml", "part of a Helm chart: -f shop renders it"),
        ("overlay/kustomization.yaml", "a kustomization: -f overlay builds it"),
    ],
)
def test_a_file_of_a_source_names_the_way_to_read_it(bench: Bench, path: str, said: str) -> None:
    bench.write("shop/values.yaml", "a: 1\n")
    done = bench.run("check", "-f", path, "--render", "never")
    assert done.status == 1
    assert said in done.out


def test_a_kustomization_alone_is_no_empty_input(bench: Bench) -> None:
    done = bench.run("check", "-f", "overlay", "--render", "never")
    assert done.status == 2
    assert "the input holds only a kustomization, which is not built" in done.out
