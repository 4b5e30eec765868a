"""Charts and kustomizations: what is started, with what, and what becomes of its output.

A stand-in that speaks the command line of helm, or of kustomize, is the only program on PATH.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.cli.renderbench import OUTPUT, PLAIN, POD, POLICY, PRINTS, Bench


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
