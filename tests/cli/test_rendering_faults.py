"""Charts and kustomizations that cannot be rendered, and what is said of their files then."""

from __future__ import annotations

from pathlib import Path

import pytest

from podfence.manifests import rendering
from tests.cli.renderbench import LOGGED, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


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


@pytest.mark.parametrize("above", ["shop", "."])
@pytest.mark.parametrize("order", [1, -1])
def test_a_chart_that_is_named_twice_is_rendered_once(bench: Bench, above: str, order: int) -> None:
    bench.program("helm")
    paths = ["shop/Chart.yaml", above][::order]
    done = bench.run("check", *(word for path in paths for word in ("-f", path)))
    assert len(bench.calls) == 1
    assert "left out" not in done.out + done.err
