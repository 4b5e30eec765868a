"""What is held is given back as it was put in, whatever the server calls its versions."""

from __future__ import annotations

import pytest

from podfence.kube.versions import Key, Versions

DB, WEB, NODE = ("shop", "db"), ("shop", "web"), ("", "db")


@pytest.mark.parametrize(
    "version",
    [
        pytest.param("", id="none"),
        pytest.param("0", id="zero"),
        pytest.param("007", id="zeros in front"),
        pytest.param("412", id="a number"),
        pytest.param("18446744073709551615", id="64 bits"),
        pytest.param("9" * 5000, id="longer than Python reads"),
        pytest.param("٤١٢", id="digits of another script"),
        pytest.param("-3", id="a sign"),
        pytest.param("3f.a", id="a word"),
    ],
)
def test_a_version_is_given_back_as_it_was(version: str) -> None:
    held = Versions()
    held.put(DB, version)
    assert held.get(DB) == version
    held.put(DB, "1")
    assert held.get(DB) == "1"


def test_objects_of_one_name_in_two_namespaces_are_two() -> None:
    held = Versions()
    assert not held
    for number, key in enumerate((DB, WEB, NODE)):
        held.put(key, str(number))
    assert {key: held.get(key) for key in held} == {DB: "0", WEB: "1", NODE: "2"}
    held.remove(DB)
    assert [held.get(key) for key in (DB, WEB, NODE)] == [None, "1", "2"]
    held.remove(WEB)
    held.remove(NODE)
    left: list[Key] = [*held]
    assert (left, bool(held)) == ([], False)
