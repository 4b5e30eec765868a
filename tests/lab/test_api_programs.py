"""Where etcd and kube-apiserver are found, and what is said where they are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from podfence.errors import LabError
from podfence.lab.api.programs import VARIABLES, find_programs


def folder(path: Path, *programs: str) -> Path:
    path.mkdir()
    for name in programs:
        (path / name).write_text("#!/bin/sh\n")
        (path / name).chmod(0o755)
    return path


@pytest.fixture
def both(tmp_path: Path) -> Path:
    return folder(tmp_path / "both", "etcd", "kube-apiserver")


def test_a_folder_that_is_named_wins(both: Path, tmp_path: Path) -> None:
    other = folder(tmp_path / "other", "etcd", "kube-apiserver")
    environment = {"KUBEBUILDER_ASSETS": str(other), "PATH": str(other)}
    assert find_programs(both, environment).etcd == both / "etcd"


@pytest.mark.parametrize("variable", VARIABLES)
def test_a_variable_names_one(both: Path, variable: str) -> None:
    found = find_programs(None, {variable: str(both)})
    assert (found.etcd, found.apiserver) == (both / "etcd", both / "kube-apiserver")


def test_the_path_is_the_last_resort(both: Path) -> None:
    assert find_programs(None, {"PATH": str(both)}).apiserver == both / "kube-apiserver"


def test_what_is_missing_is_named_and_what_would_be_right(both: Path) -> None:
    (both / "kube-apiserver").unlink()
    with pytest.raises(LabError) as raised:
        find_programs(None, {"PATH": str(both)})
    assert "there is no kube-apiserver on the PATH" in raised.value.message
    assert "--api-programs DIR" in raised.value.message


@pytest.mark.parametrize("by_hand", [True, False])
def test_a_folder_that_is_named_has_to_hold_both(both: Path, by_hand: bool) -> None:
    """The PATH has them: still, who names a folder means that one."""
    bad = folder(both.parent / "bad", "etcd")
    environment = {"PATH": str(both), **({} if by_hand else {"KUBEBUILDER_ASSETS": str(bad)})}
    with pytest.raises(LabError) as raised:
        find_programs(bad if by_hand else None, environment)
    named = "--api-programs" if by_hand else "$KUBEBUILDER_ASSETS"
    assert f"{bad} ({named}) holds no kube-apiserver" in raised.value.message


def test_a_file_that_cannot_be_executed_is_no_program(both: Path) -> None:
    (both / "etcd").chmod(0o644)
    with pytest.raises(LabError):
        find_programs(both, {})


def test_a_hostile_name_of_a_folder_reaches_no_terminal(tmp_path: Path) -> None:
    with pytest.raises(LabError) as raised:
        find_programs(tmp_path / "x\x1b[31m", {})
    assert "\x1b" not in raised.value.message
