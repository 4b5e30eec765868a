"""Commands that the page gives to be pasted into a shell: they run nothing but themselves."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.web.chromium import Browser
from tests.web.pages import write

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

NAMES = ("a$(touch sprung)", "a`touch sprung`", "a;touch sprung", "it's", "a\\b c", "a\x1b]0;b")
COMMAND = "document.querySelector('.panel .command code')?.innerText"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("names"), "-f", "-", stdin="\n---\n".join(pods()).encode())


def pods() -> Iterator[str]:
    for name in (*NAMES, "plain"):
        text = name.replace("\\", "\\\\").replace("\x1b", "\\x1b")
        yield f'{{apiVersion: v1, kind: Pod, metadata: {{name: "{text}", namespace: "n;id"}}}}'


def words(line: str, folder: Path) -> list[str]:
    """What a shell makes of a line: the words that podfence gets."""
    script = f"podfence() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    run = subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, check=True, text=True
    )
    return run.stdout.split("\0")[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_word_of_the_question(
    browser: Browser, page: Path, tmp_path: Path, name: str
) -> None:
    browser.open(page, f"#/map?pair={quote(f'n;id/{name}', safe='')}~n;id/plain")
    browser.wait(f"{COMMAND} !== undefined")
    line = browser.run(COMMAND)
    assert line.isprintable()
    assert words(line, tmp_path)[:2] == ["why", f"n;id/{name}"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_word_of_a_question_about_a_pod_to_come(
    browser: Browser, page: Path, tmp_path: Path, name: str
) -> None:
    browser.open(page, f"#/map?new=1&pair={quote(f'n;id/{name}', safe='')}~n;id/%2B")
    browser.wait(f"{COMMAND} !== undefined")
    assert words(browser.run(COMMAND), tmp_path) == ["find", "to", "n;id/+"]
    browser.go(f"#/map?new=1&pair=n;id/%2B~{quote(f'n;id/{name}', safe='')}")
    browser.wait(f"{COMMAND}.includes('find from')")
    assert words(browser.run(COMMAND), tmp_path) == ["find", "from", "n;id/+"]
    assert list(tmp_path.iterdir()) == []
