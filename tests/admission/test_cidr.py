"""CIDR texts: what the API server reads, refuses and warns about."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.admission.validate_cidr import canonical_cidr, cidr_complaints, parse_cidr
from tests.admission.policies import policy_of, problems_of

ZEROS = "must not have leading 0s in IP or prefix length"
MAPPED = "must not have an IPv4-mapped IPv6 address"
BITS = "must not have bits set beyond the prefix length"


@pytest.mark.parametrize(
    "text",
    [
        "", "/", "10.0.0.0", "10.0.0.0/", "/8", "10.0.0/8", "1.2.3/24", "10.0.0.0.0/8", "10/8",
        "256.0.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8/8",
        "10.0.0.0/255.0.0.0", " 10.0.0.0/8", "10.0.0.0/8 ", "10.0.0.0/8\n", "0x0a.0.0.0/8",
        "1_0.0.0.0/8", "\u0661.0.0.0/8", "10.0.0.0/\u0668", "a.b.c.d/8", "10..0.0/8",
        "::/129", "::", ":/0",
        ":::/0", "1::2::3/64", "1:2:3:4:5:6:7/64", "1:2:3:4:5:6:7:8:9/64", "1:2:3:4:5:6:7:8::/64",
        "::1:2:3:4:5:6:7:8/64", "12345::/16", "g::/16", "fe80::%eth0/64", "1:/16", ":1/16",
        "::1.2.3/96", "::1.2.3.256/96", "1.2.3.4::/96", "::1.2.3.4:5/96", "1:2:3:4:5:1.2.3.4/96",
        "0" * 5000 + ".0.0.0/8",
    ],
)  # fmt: skip
def test_unreadable(text: str) -> None:
    assert cidr_complaints(text) == (
        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("010.0.0.0/8", ZEROS),
        ("10.0.0.00/8", ZEROS),
        ("10.0.0.0/08", ZEROS),
        ("2001:db8::/064", ZEROS),
        ("02001:db8::/32", ZEROS),
        ("::01.2.3.4/128", ZEROS),
        ("010.0.0.1/8", ZEROS),
        ("::ffff:10.0.0.0/104", MAPPED),
        ("::ffff:a00:0/104", MAPPED),
        ("::ffff:10.0.0.1/104", MAPPED),
        ("192.168.1.1/24", BITS),
        ("0.0.0.1/0", BITS),
        ("2001:db8::1/64", BITS),
        ("::1.2.3.4/96", BITS),
    ],
)
def test_strict_mode_refuses(text: str, complaint: str) -> None:
    assert cidr_complaints(text) == (complaint,)


@pytest.mark.parametrize(
    ("text", "network"),
    [
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.0.0.1/32", "10.0.0.1/32"),
        ("::/0", "::/0"),
        ("::1/128", "::1/128"),
        ("1::/16", "1::/16"),
        ("1:2:3:4:5:6:7::/112", "1:2:3:4:5:6:7:0/112"),
        ("::2:3:4:5:6:7:8/128", "0:2:3:4:5:6:7:8/128"),
        ("1:2:3:4:5:6:1.2.3.4/128", "1:2:3:4:5:6:102:304/128"),
        ("64:ff9b::192.0.2.0/120", "64:ff9b::c000:200/120"),
        ("FE80:0abc::/64", "fe80:abc::/64"),
    ],
)
def test_accepted(text: str, network: str) -> None:
    cidr = parse_cidr(text)
    assert cidr is not None
    assert cidr_complaints(text) == ()
    assert cidr.network == ip_network(network)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("FE80:0abc:0:0:0:0:0:0/64", "fe80:abc::/64"),
        ("1:2:3:4:5:6:7::/112", "1:2:3:4:5:6:7:0/112"),
        ("fe80::/64", None),
        ("10.0.0.0/8", None),
        ("FE80::1/64", None),
        ("nonsense", None),
    ],
)
def test_canonical_form(text: str, canonical: str | None) -> None:
    assert canonical_cidr(text) == canonical


def test_warning_has_the_servers_text_and_does_not_block() -> None:
    block = {"cidr": "FE80::/10", "except": ["fe80:0::/64"]}
    spec = {"ingress": [{"from": [{"ipBlock": block}]}]}
    assert policy_of(spec).ingress[0].peers[0].ip_block is not None
    path = "spec.ingress[0].from[0].ipBlock"
    assert [(p.code, p.path, p.message) for p in problems_of(spec)] == [
        (
            "PF206",
            f"{path}.cidr",
            (
                f'{path}.cidr: IPv6 CIDR value "FE80::/10" should be in RFC 5952 canonical format '
                '("fe80::/10")'
            ),
        ),
        (
            "PF206",
            f"{path}.except[0]",
            (
                f'{path}.except[0]: IPv6 CIDR value "fe80:0::/64" should be in RFC 5952 canonical '
                'format ("fe80::/64")'
            ),
        ),
    ]


@given(st.ip_addresses(), st.integers(0, 128), st.booleans())
def test_reads_what_ipaddress_reads(address: object, length: int, exploded: bool) -> None:
    text = f"{address.exploded if exploded else address}/{length}"  # type: ignore[attr-defined]
    cidr = parse_cidr(text)
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        assert cidr is None
    else:
        assert cidr is not None
        assert cidr.network == network


@given(st.text("0123456789abcf.:/%", max_size=30))
def test_never_raises_and_is_no_looser_than_ipaddress(text: str) -> None:
    if parse_cidr(text) is not None and not cidr_complaints(text):
        ip_network(text)
