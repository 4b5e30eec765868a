"""``podfence report`` writes one file that is data, one script and one style sheet, and no more."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.cli.schema import violations
from tests.cli.session import ROOT, Done, podfence
from tests.cli.test_hostile import NAMES, manifests

SHOP = "examples/shop"
CHANGE = (
    *("-f", "examples/plan", "-f", SHOP, "--exclude", "policies/"),
    *("--plan", "examples/shop/policies", "--plan", SHOP),
)
INPUTS: dict[str, tuple[str, ...]] = {
    "shop": ("-f", SHOP),
    "tiers": ("-f", "examples/tiers"),
    "change": CHANGE,
    "one-namespace": ("-f", SHOP, "-n", "monitoring"),
    "no-text": ("-f", SHOP, "--no-text"),
    "anonymous": ("-f", SHOP, "--anonymise"),
}


class Page(HTMLParser):
    """What a browser makes of the file."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[dict[str, str | None], str]] = []
        self.title = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        if tag in ("script", "style") and data.strip():
            self.texts.append(({"tag": tag, **attributes}, data))
        elif tag == "title" and not self.title:
            self.title = data

    @property
    def data(self) -> dict[str, Any]:
        return {
            str(attributes["id"]).removeprefix("data-"): json.loads(
                zlib.decompress(base64.b64decode(text))
            )
            for attributes, text in self.texts
            if attributes.get("type") == "application/octet-stream"
        }


def written(*arguments: str, stdin: bytes = b"", status: int = 0) -> Page:
    done = podfence(["report", "-o", "-", *arguments], stdin=stdin)
    assert done.status == status, done.err
    return Page(done.out)


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / f"docs/schemas/{name}.schema.json").read_text())
    return found


@pytest.mark.parametrize("case", INPUTS)
def test_the_data_are_valid(case: str) -> None:
    data = written(*INPUTS[case]).data
    wanted = schema("report")
    assert violations(data, wanted, wanted) == []
    if "plan" in data:
        assert violations(data["plan"], schema("plan"), schema("plan")) == []


def test_the_plan_is_what_plan_says() -> None:
    arguments = ["plan", "examples/shop/policies", "examples/plan", "-f", SHOP]
    done = podfence([*arguments, "--exclude", "policies/", "-o", "json"])
    assert written(*CHANGE).data["plan"] == json.loads(done.out)


def test_plan_writes_the_same_page() -> None:
    """NEW with its plan, and with the tests of ``--tests``."""
    plan = ["plan", "examples/shop/policies", "examples/plan", "-f", SHOP, "--exclude", "policies/"]
    page = Page(podfence([*plan, "-o", "html"]).out)
    assert page.title == "podfence plan: examples/shop/policies -> examples/plan"
    about, own = page.data, written(*CHANGE).data
    assert about.pop("about").keys() == own.pop("about").keys()
    assert about == own

    more = ["--tests", "examples/tests/shop.podfence.yaml", "--flows", "examples/flows/shop.csv"]
    data = Page(podfence([*plan, *more, "--order", "-o", "html"]).out).data
    assert violations(data, schema("report"), schema("report")) == []
    assert violations(data["plan"], schema("plan"), schema("plan")) == []
    assert data["tests"]


def test_the_findings_are_what_check_says() -> None:
    done = podfence(["check", "-f", "examples/gotchas", "-o", "json"])
    found = written("-f", "examples/gotchas").data["findings"]
    said = json.loads(done.out)["problems"]
    for each in said:
        for more in ("fingerprint", "slug", "endLine", "endColumn"):  # for baselines and editors
            each.pop(more, None)
    assert found == said
    assert found


def test_only_the_script_and_the_style_of_the_page_may_run() -> None:
    page = written("-f", SHOP)
    [policy] = [
        a["content"] for _, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"
    ]
    hashes = {
        str(attributes["tag"]): hashlib.sha256(text.encode()).digest()
        for attributes, text in page.texts
        if "type" not in attributes
    }
    assert policy is not None
    rules = dict(each.split(" ", 1) for each in policy.split("; "))
    assert rules["default-src"] == "'none'"
    for tag, digest in hashes.items():
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert set(hashes) == {"script", "style"}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_no_name_becomes_markup(name: str) -> None:
    plain = written("-f", "-", stdin=manifests("plain"))
    page = written("-f", "-", "--title", name, stdin=manifests(name))
    shape = [(tag, sorted(attributes)) for tag, attributes in page.tags]
    assert shape == [(tag, sorted(attributes)) for tag, attributes in plain.tags]
    assert any(each["workload"] == name for each in page.data["map"]["endpoints"] if "pods" in each)


def test_an_anonymous_page_holds_no_name() -> None:
    data = written("-f", SHOP, "--anonymise").data
    text = json.dumps(data)
    words = ["shop", "frontend", "backend", "db", "prometheus", "default-deny", "sql", "198.51"]
    assert [word for word in words if re.search(rf"\b{word}", text)] == []
    assert "findings" not in data
    plain = written("-f", SHOP).data
    assert data["map"]["rows"] == plain["map"]["rows"]
    assert data["rules"]["tiers"] == plain["rules"]["tiers"]


def test_without_text_no_line_of_a_manifest_is_in_the_page() -> None:
    data = written("-f", SHOP, "--no-text").data
    assert all("text" not in each for each in data["rules"]["documents"])
    assert any("text" in each for each in written("-f", SHOP).data["rules"]["documents"])


def test_what_is_audited_is_said_beside_the_map() -> None:
    notes = written("-f", "examples/audit").data["map"]["notes"]
    said = "shop/db is audited and enforces nothing; if enforced, the map may be different"
    assert said in notes
    assert written("-f", "examples/audit", "--anonymise").data["map"]["notes"] == []


def test_the_same_input_gives_the_same_bytes() -> None:
    pages = [podfence(["report", "-o", "-", "-f", SHOP]).out for _ in range(2)]
    assert pages[0] == pages[1]


def test_what_could_not_be_read_is_shown_as_unknown(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: torn, namespace: shop}\nspec: {podSelector: 5}\n"
    )
    data = written("-f", SHOP, "-f", str(broken), status=2).data
    unknown = {e["name"] for e in data["map"]["endpoints"] if e.get("open")}
    assert unknown == {"shop/backend", "shop/db", "shop/frontend"}
    assert [each["object"] for each in data["about"]["doubts"]] == ["NetworkPolicy shop/torn"]
    assert written("-f", SHOP, "-f", str(broken), "--keep-going").data == data


def refused(*arguments: str) -> Done:
    done = podfence(["report", *arguments])
    assert (done.status, done.out) == (2, "")
    return done


def test_a_target_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    done = refused("-f", SHOP, "-o", str(tmp_path / "missing" / "page.html"))
    assert "cannot be written: No such file or directory" in done.err


def test_a_page_that_was_there_is_replaced_whole(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    assert podfence(["report", "-f", SHOP, "-o", str(page)]).status == 0
    assert page.read_text("utf-8").startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def test_a_plan_names_what_it_is_about() -> None:
    assert "drop --plan or --anonymise" in refused("-o", "-", *CHANGE, "--anonymise").err


# -- the front end that is shipped


def test_the_front_end_is_built_from_its_sources() -> None:
    """Without Node nothing can be built, but it can be seen that nothing has to be."""
    static, web = ROOT / "podfence" / "web" / "static", ROOT / "web"
    manifest = json.loads((static / "MANIFEST.json").read_text("utf-8"))

    def digests(folder: Path, names: list[str]) -> dict[str, str]:
        return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}

    sources = [
        *(name for name in ("package.json", "package-lock.json", "build.mjs", "tsconfig.json")),
        *(str(path.relative_to(web)) for path in (web / "src").rglob("*") if path.is_file()),
    ]
    built = [path.name for path in static.iterdir() if path.name != "MANIFEST.json"]
    assert manifest == {"built": digests(static, built), "from": digests(web, sources)}, (
        "run ./dev web and commit what it builds"
    )


def test_the_lock_of_the_front_end_holds_hashes_and_no_address() -> None:
    lock = json.loads((ROOT / "web" / "package-lock.json").read_text("utf-8"))
    packages = {name: each for name, each in lock["packages"].items() if name}
    assert all(each["integrity"].startswith("sha512-") for each in packages.values())
    assert [name for name, each in packages.items() if "resolved" in each] == []


def test_the_page_is_small() -> None:
    static = ROOT / "podfence" / "web" / "static"
    packed = sum(
        len(zlib.compress((static / n).read_bytes(), 9)) for n in ("report.js", "report.css")
    )
    assert packed <= 120_000


def test_no_module_of_the_front_end_makes_markup_of_text() -> None:
    banned = re.compile(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function"
    )
    sources = list((ROOT / "web" / "src").rglob("*.ts*"))
    assert [path.name for path in sources if banned.search(path.read_text("utf-8"))] == []
    assert [path.name for path in sources if path.read_text("utf-8").count("\n") > 400] == []
