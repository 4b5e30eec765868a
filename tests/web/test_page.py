"""The page in a browser: hostile names, the keyboard, addresses, states, printing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.cli.session import podfence
from tests.cli.test_hostile import NAMES, manifests
from tests.cli.test_report import CHANGE
from tests.web.chromium import Browser
from tests.web.pages import write

# A busy machine starts a browser late.
pytestmark = [pytest.mark.web, pytest.mark.timeout(300)]

SHOP = ("-f", "examples/shop")
PAGES = (
    "#/map",
    "#/map?view=picture",
    "#/map?view=table",
    "#/map?order=alike",
    "#/map?new=1",
    "#/policies",
    "#/exposed",
    "#/findings",
)
TRAP = "globalThis.sprung = true"
MARKUP = (
    f"</script><script>{TRAP}</script>",
    f'"><img src=x onerror="{TRAP}">',
    f"<svg onload={TRAP}>",
    f"javascript:{TRAP}",
    f"<style>*{{display:none}}</style><b onmouseover='{TRAP}'>",
    "\u202egnp.exe\u2066\x00\x1b[2J",
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"), *SHOP)


FOREIGN = "#app :is(script, img, svg, iframe, style, b)"
PIECES = ("<", ">", "&lt;", "'", '"', "`", "\u2067", "\u200f", "\u0301" * 40, "${", "}}")


# -- hostile names


def fuzzed(seed: int) -> str:
    """Pieces that mean something to HTML, to scripts, to style sheets and to writing directions."""
    rng = random.Random(seed)
    pieces = [
        *MARKUP,
        "<",
        ">",
        "&lt;",
        "'",
        '"',
        "`",
        "\u2067",
        "\u200f",
        "\u0301" * 40,
        "${",
        "}}",
    ]
    return "".join(rng.choice(pieces) for _ in range(rng.randint(1, 5)))


@pytest.mark.parametrize(
    "name",
    [*MARKUP, *NAMES.values(), *map(fuzzed, range(12))],
    ids=lambda name: ascii(name)[:30],
)
def test_no_name_is_run_or_obeyed(browser: Browser, tmp_path: Path, name: str) -> None:
    page = write(tmp_path, "-f", "-", "--title", name, stdin=manifests(name))
    browser.open(page)
    for fragment in PAGES:
        browser.go(fragment)
        assert browser.run("globalThis.sprung") is None
        assert (
            browser.run(
                "document.querySelectorAll('#app :is(script, img, iframe, style), "
                "#app svg:not(.picture-scroll > svg)').length"
            )
            == 0
        )
        text = browser.run("document.body.innerText + document.title")
        assert not set(text) & set("\u202e\u2066\u2067\u200f\u200b\x00\x1b\x9b")
        wide = browser.run("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_thousand_names_in_one_page(browser: Browser, tmp_path: Path) -> None:
    """2,500 pods of a hostile name, label and port each, and as many policies with a comment."""
    names = iter(map(fuzzed, range(10_000)))
    items = "".join(
        "---\napiVersion: v1\nkind: Pod\n"
        f"metadata: {{name: {quoted(next(names))}, namespace: n{number % 40}, "
        f"labels: {{a: {quoted(next(names))}}}}}\n"
        f"spec: {{containers: [{{ports: [{{name: {quoted(next(names))}, containerPort: 80}}]}}]}}\n"
        "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        f"metadata: {{name: p{number}, namespace: n{number % 40}}}\n"
        f"spec:\n  podSelector: {{}} # {next(names)!a}\n  ingress: [{{}}]\n"
        for number in range(2500)
    )
    assert next(names, None) is None
    browser.open(write(tmp_path, "-f", "-", stdin=items.encode()))
    shown = "[podfence.world.endpoints.length, podfence.world.reach.policies]"
    assert min(browser.run(shown)) > 2000  # some of the pods are called the same
    pages = (
        "map?open=*",
        "map?order=alike",
        "map?new=1",
        "map?view=table",
        "policies?policy=NetworkPolicy/n1/p1",
        "exposed",
    )
    for fragment in (f"#/{each}" for each in pages):
        browser.go(fragment)
        assert browser.run("globalThis.sprung") is None
        assert (
            browser.run("document.querySelectorAll('#app :is(script, img, iframe, style)').length")
            == 0
        )
        assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0


def quoted(name: str) -> str:
    """A scalar of YAML in double quotes."""
    return '"' + "".join(f"\\u{ord(c):04x}" for c in name) + '"'


# -- the keyboard


def test_from_the_matrix_to_the_reason_without_a_pointer(browser: Browser, shop: Path) -> None:
    browser.open(shop)
    for _ in range(30):
        browser.press("Tab")
        if browser.run("document.activeElement.getAttribute('role')") == "grid":
            break
    assert browser.run("document.activeElement.getAttribute('role')") == "grid"
    browser.press("Home", "PageUp", "Control+Home")
    label = "document.getElementById('focused-cell').getAttribute('aria-label')"
    browser.press("ArrowDown", "ArrowRight")
    assert (
        browser.run(label)
        == "monitoring/prometheus to monitoring/prometheus: a pod always reaches itself"
    )
    browser.press("Control+ArrowRight")
    assert browser.run(label) == "monitoring/prometheus to shop/backend: TCP/9100-9110"
    browser.press("Enter")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict") == "yes: TCP/9100"
    assert browser.run(label) == "monitoring/prometheus to shop/backend: TCP/9100-9110"
    browser.run("document.querySelector('.panel button').focus()")
    browser.press("Escape")
    assert browser.text(".panel") == ""
    assert browser.run("document.activeElement.getAttribute('role')") == "grid"


def test_namespaces_fold_from_the_keyboard(browser: Browser, shop: Path) -> None:
    browser.open(shop)
    browser.run("document.querySelector('[role=grid]').focus()")
    browser.press("Control+Home", "Enter")
    assert "open=shop,OUTSIDE" in browser.run("location.hash")
    browser.press("Control+Home", "ArrowRight", "Enter")
    assert browser.run("document.querySelectorAll('.rows .folded').length") == 0


def test_the_slash_goes_to_the_search(browser: Browser, shop: Path) -> None:
    browser.open(shop)
    browser.press("/")
    browser.type("backend")
    assert browser.run("document.activeElement.id") == "search"
    assert "q=backend" in browser.run("location.hash")
    shown = browser.run("[...document.querySelectorAll('.rows .end')].map((e) => e.textContent)")
    payments = "203.0.113.0/25, 2001:db8:113::/48"
    assert shown == ["prometheus", "backend", "db", "frontend", payments]


# -- addresses


def test_a_link_restores_view_filter_and_pair(browser: Browser, shop: Path) -> None:
    asked = "#/map?view=table&q=frontend&port=tcp/8000&pair=shop/frontend~shop/backend&ask=tcp/8000"
    browser.open(shop, asked)
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict") == "yes: TCP/8000"
    assert browser.text(".count") == "1 allowed pair"
    assert browser.run("document.getElementById('search').value") == "frontend"
    assert browser.run("location.hash") == asked


@pytest.mark.parametrize(
    "fragment", ["#/nowhere", "#/map?pair=a~b", "#/map?%E0%A4%A", "#/policies?policy=x", "#//?=&&~"]
)
def test_an_address_that_means_nothing_shows_a_page(
    browser: Browser, shop: Path, fragment: str
) -> None:
    browser.open(shop, fragment)
    assert browser.text("main") != ""


# -- states


def test_without_pods(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, "-f", "examples/shop/policies"))
    assert "No pods and no workloads were read." in browser.text("main")


def test_without_policies(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, *SHOP, "--exclude", "policies/"))
    assert "There is no policy" in browser.text("main")
    shown = browser.run("document.querySelector('.banner pre').textContent")
    (tmp_path / "default-deny.yaml").write_text(shown)
    closed = podfence(
        ["map", *SHOP, "--exclude", "policies/", "-f", str(tmp_path / "default-deny.yaml")]
    )
    assert closed.status == 0
    assert "everyone" not in closed.out
    assert "kubectl apply -f default-deny.yaml" in browser.run(
        "document.querySelector('.banner .command').textContent"
    )
    browser.go("#/policies")
    assert "every pod may talk to every other" in browser.text("main")


def test_with_a_policy_that_could_not_be_read(browser: Browser, tmp_path: Path) -> None:
    broken = tmp_path / "torn.yaml"
    broken.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
        "metadata: {name: torn, namespace: shop}\nspec: {podSelector: 5}\n"
    )
    page = write(tmp_path, *SHOP, "-f", str(broken), expected=2)
    browser.open(page, "#/map?pair=shop/frontend~shop/db")
    assert "1 object could not be read." in browser.text(".banner")
    assert "NetworkPolicy shop/torn" in browser.text(".banner")
    assert "unknown pairs" in browser.text("footer")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict").startswith("Unknown:")


def test_a_change(browser: Browser, tmp_path: Path) -> None:
    browser.open(write(tmp_path, *CHANGE), "#/plan")
    text = browser.text("main")
    assert "opened" in text
    assert "shop/backup" in text


def test_a_search_that_finds_nothing(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map?q=nobody")
    assert "Nothing matches “nobody”." in browser.text("main")


def test_a_broken_file_says_so(browser: Browser, shop: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    text = shop.read_text("utf-8")
    broken.write_text(text.replace('id="data-map"', 'id="data-gone"', 1), "utf-8")
    browser.open(broken)
    said = "This file lacks its part “map”: write the report again."
    heading, text, copy = browser.text("#app").split("\n\n")
    assert (heading, text, copy) == ("The report cannot be shown", said, "Copy details")


# -- paper, small windows, other people's needs


@pytest.mark.parametrize("fragment", [*PAGES, "#/map?pair=shop/frontend~shop/db"])
def test_a_narrow_window_loses_nothing(browser: Browser, shop: Path, fragment: str) -> None:
    browser.resize(360, 640)
    browser.open(shop, fragment)
    assert browser.run("document.documentElement.scrollWidth - innerWidth") <= 0


# -- the picture


def test_the_picture_has_every_name_and_every_line_of_words(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map?view=picture")
    names = browser.run("[...document.querySelectorAll('.end title')].map((e) => e.textContent)")
    assert {"shop/db", "shop/frontend", "monitoring/prometheus"} <= set(names)
    rows = browser.run("podfence.world.reach.rows.length")
    assert browser.run("document.querySelectorAll('.slot').length") == rows


def test_a_name_in_the_picture_leaves_its_own_lines_and_opens_its_neighbourhood(
    browser: Browser, shop: Path
) -> None:
    browser.open(shop, "#/map?view=picture")
    ends = "[...document.querySelectorAll('.end')]"
    browser.run(f"{ends}.find((e) => e.ariaLabel.endsWith('receives: shop/db')).focus()")
    browser.settle()
    lit = browser.run(
        "[...document.querySelectorAll('.slot:not(.dim) .ports')].map((e) => e.lastChild.data)"
    )
    assert sorted(lit) == ["TCP/5432", "TCP/9100-9110"]
    browser.press("Enter")
    browser.wait("document.querySelector('.middle h2')?.textContent === 'shop/db'")


def test_ports_in_the_picture_lead_to_the_reason(browser: Browser, shop: Path) -> None:
    browser.open(shop, "#/map?view=picture")
    browser.run(
        "[...document.querySelectorAll('.slot a')]"
        ".find((e) => e.textContent.includes('5432')).focus()"
    )
    browser.press("Enter")
    browser.wait("document.querySelector('.panel .verdict') !== null")
    assert browser.text(".panel .verdict") == "yes: TCP/5432"


def test_a_picture_of_too_much_is_a_neighbourhood(browser: Browser, tmp_path: Path) -> None:
    pods = "\n---\n".join(
        f"{{apiVersion: v1, kind: Pod, metadata: {{name: p{n}, namespace: a}}}}" for n in range(61)
    )
    browser.open(write(tmp_path, "-f", "-", stdin=pods.encode()), "#/map?view=picture")
    assert browser.run("document.querySelector('.picture-view')") is None
    assert browser.text(".middle h2") == "a/p0"


# -- a pair as words for elsewhere


@pytest.mark.parametrize(
    ("pair", "ask"),
    [
        ("shop/backend~shop/db", "tcp/5432"),
        ("shop/frontend~shop/db", "tcp/5432"),
        ("shop/backend~shop/db", "icmp"),
        ("shop/db~shop/backend", "udp/53"),
    ],
)
def test_what_is_shown_can_be_kept_as_a_test(
    browser: Browser, shop: Path, tmp_path: Path, pair: str, ask: str
) -> None:
    browser.open(shop, f"#/map?pair={pair}&ask={ask}")
    browser.wait("document.querySelector('.as-test code') !== null")
    item = browser.run("document.querySelector('.as-test code').textContent")
    head = "apiVersion: podfence.io/v1alpha1\nkind: PolicyTests\ntests:\n"
    (tmp_path / "kept.yaml").write_text(f"{head}{item}\n")
    done = podfence(["test", str(tmp_path / "kept.yaml"), *SHOP])
    assert (done.status, "1 passed" in done.out) == (0, True), (item, done.out, done.err)
