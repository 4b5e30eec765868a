"""What is built is whole, or not there; and is built once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.golang import cache_folder, filled


def test_a_folder_is_filled_once(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "it"
    assert filled(folder, lambda new: (new / "program").touch()) == folder
    filled(folder, lambda new: (new / "other").touch())
    assert [each.name for each in folder.iterdir()] == ["program"]


def test_what_fails_leaves_nothing(tmp_path: Path) -> None:
    def fill(new: Path) -> None:
        (new / "program").touch()
        raise RuntimeError

    with pytest.raises(RuntimeError):
        filled(tmp_path / "it", fill)
    assert [*tmp_path.iterdir()] == []


def test_a_folder_is_named_by_all_that_goes_into_it(tmp_path: Path) -> None:
    source = tmp_path / "go.sum"
    found = set()
    for text, word in (("a", "x"), ("b", "x"), ("a", "y")):
        source.write_text(text)
        found.add(cache_folder(tmp_path, "of-", [source], word))
        assert cache_folder(tmp_path, "of-", [source], word) in found
    assert len(found) == 3
    assert all(each.name.startswith("of-") for each in found)
