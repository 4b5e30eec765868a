"""Made-up clusters: repeatable, valid, of every shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from bench.generate import Shape, generate, json_text, main, write, yaml_text
from podfence.manifests.load import Loaded, load

SMALL = Shape(namespaces=4, pods=24, policies=400, replicas=3, dual_stack=True)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    directory = tmp_path_factory.mktemp("cluster")
    write(SMALL, directory)
    return load([str(directory)])


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert yaml_text(generate(SMALL)[1]) == yaml_text(generate(SMALL)[1])


def test_another_seed_gives_other_policies() -> None:
    assert generate(Shape(seed=1))[1] != generate(Shape(seed=2))[1]


def test_the_server_would_take_everything(loaded: Loaded) -> None:
    assert loaded.problems == ()


def test_there_is_as_much_as_was_asked_for(loaded: Loaded) -> None:
    kinds = {"Namespace": 4, "Node": 1, "Pod": 24, "NetworkPolicy": 400}
    assert dict(loaded.kinds) == kinds


def test_pods_of_a_workload_share_their_owner(loaded: Loaded) -> None:
    assert len({pod.owner for pod in loaded.cluster.pods}) == 24 / 3


def test_a_dual_stack_pod_has_an_address_of_each_family(loaded: Loaded) -> None:
    found = {tuple(a.version for a in pod.addresses) for pod in loaded.cluster.pods}
    assert found == {(4, 6)}


@pytest.mark.parametrize(
    "shape",
    [
        "isolate",
        "same-namespace",
        "namespace",
        "namespace-and-pod",
        "namespace-or-pod",
        "expressions",
        "block",
        "named-port",
        "port-range",
        "several-rules",
        "everything",
        "nobody",
    ],
)
def test_every_shape_of_policy_is_drawn(loaded: Loaded, shape: str) -> None:
    names = {policy.ref.name.rpartition("-")[0] for policy in loaded.cluster.policies}
    assert shape in names


def test_yaml_says_what_was_made() -> None:
    _, policies = generate(SMALL)
    assert list(yaml.safe_load_all(yaml_text(policies))) == policies


def test_json_says_what_was_made() -> None:
    _, policies = generate(SMALL)
    assert json.loads(json_text(policies))["items"] == policies


def test_the_command_writes_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "new"), "--format", "json"]) == 0
    written = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert written == ["cluster.json", "policies.json"]
    assert "cluster.json" in capsys.readouterr().out


def test_one_list_holds_everything(tmp_path: Path) -> None:
    (path,) = write(SMALL, tmp_path, "list")
    cluster, policies = generate(SMALL)
    assert json.loads(path.read_text("utf-8"))["items"] == cluster + policies


@pytest.mark.parametrize("argument", ["--pods", "--namespaces", "--replicas"])
def test_nothing_can_be_made_of_nothing(
    tmp_path: Path, argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path), argument, "0"])
    assert ended.value.code == 2
    assert "at least 1" in capsys.readouterr().err
