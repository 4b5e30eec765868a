"""Names come from origins; text from the API is shown harmlessly and nowhere else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.model.meta import ObjectRef
from podfence.nft.lowering.identifiers import (
    MAX_COMMENT,
    Namer,
    printable,
    rule_comment,
    short_hash,
)
from podfence.policy.origin import Origin
from tests.nft.cases import HOSTILE


def origin(namespace: str, name: str) -> Origin:
    return Origin(ObjectRef("NetworkPolicy", namespace, name), "spec.ingress[0]")


@pytest.mark.parametrize("text", HOSTILE)
def test_printable_is_short_harmless_ascii(text: str) -> None:
    assert re.fullmatch(r'[^"\\\x00-\x1f\x7f-\uffff$*;#]{0,128}', printable(text))


@given(st.text(), st.integers(3, 200))
def test_printable_keeps_within_its_limit(text: str, limit: int) -> None:
    assert len(printable(text, limit).encode("ascii")) <= limit


def test_a_comment_names_policy_and_path() -> None:
    assert rule_comment(origin("shop", "db"), "spec.ingress[0].from[1]") == (
        "shop/db ingress[0].from[1]"
    )


def test_a_long_name_gives_way_to_the_path() -> None:
    found = rule_comment(origin("n" * 63, "p" * 253), "spec.egress[12].to[34]")
    assert len(found) == MAX_COMMENT
    assert found.endswith("... egress[12].to[34]")


def test_a_name_depends_on_its_key_alone() -> None:
    one, two = Namer(), Namer()
    one.name("p4_", "another")
    assert one.name("p4_", "key") == two.name("p4_", "key") == f"p4_{short_hash('key')}"


def test_keys_with_equal_hashes_do_not_share_a_name() -> None:
    namer = Namer(lambda _key, attempt: f"{attempt:012x}")
    names = [namer.name("p4_", key) for key in ("a", "b", "a", "c")]
    assert names == ["p4_000000000000", "p4_000000000001", "p4_000000000000", "p4_000000000002"]


def test_attempts_give_other_digits() -> None:
    assert len({short_hash("key", attempt) for attempt in range(100)}) == 100
    assert all(re.fullmatch("[0-9a-f]{12}", short_hash("key", n)) for n in range(3))
