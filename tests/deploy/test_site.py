"""The documentation as a site: its pages, and links written for readers of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from deploy.site import site_links

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("README.md", "[lab](docs/lab.md)", "[lab](lab.md)"),
        ("README.md", "[a](docs/cli.md#exit-status)", "[a](cli.md#exit-status)"),
        ("README.md", "[`a`](docs/lab.md), [b](docs/web.md)", "[`a`](lab.md), [b](web.md)"),
        ("docs/lab.md", "[cli](cli.md)", "[cli](cli.md)"),
        ("docs/lab.md", "[start](../README.md#more)", "[start](index.md#more)"),
        ("docs/lab.md", "[the design](design/lab.md)", "[the design](design/lab.md)"),
        ("docs/design/lab.md", "[lab](../lab.md)", "[lab](../lab.md)"),
        ("docs/design/lab.md", "[live](live.md)", "[live](../design/live.md)"),
        ("docs/lab.md", "[shop](../examples/shop)", "shop (`examples/shop`)"),
        ("README.md", "[`examples/shop`](examples/shop)", "`examples/shop`"),
    ],
)
def test_a_link_leads_to_the_same_page_or_names_the_file(path: str, text: str, wanted: str) -> None:
    assert site_links(text, path) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "[elsewhere](https://kubernetes.io/docs)",
        "[here](#more)",
        "```sh\n[lab](docs/lab.md)\n```",
        "![picture](docs/picture.png)",
        "[gone](docs/no-such-page.md)",
    ],
    ids=["another host", "same page", "code", "picture", "nowhere: the build says so"],
)
def test_what_is_no_link_to_a_page_stays(text: str) -> None:
    assert site_links(text, "README.md") == text


@pytest.mark.parametrize("marks", ["not-run", "not-run expect=2"])
def test_what_tests_are_told_behind_a_language_is_not_for_the_site(marks: str) -> None:
    text = f"```console {marks}\n$ podfence map\n```\n\n## After\n"
    wanted = "```console\n$ podfence map\n```\n\n## After\n"
    assert site_links(text, "docs/lab.md") == wanted


def test_every_page_is_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text("utf-8")
    named = {line.split(": ")[-1].strip() for line in text.splitlines() if line.endswith(".md")}
    pages = {
        path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
        if path.parent.name not in ("decisions", "scores")
    }
    assert named == pages | {"index.md"}


def test_the_site_loads_nothing_from_elsewhere() -> None:
    class Loader(yaml.SafeLoader):
        """Passes over the tags of Python."""

    Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda *_: None)
    site = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), Loader)
    assert site["theme"]["font"] is False
    assert {"extra_css", "extra_javascript"}.isdisjoint(site)
