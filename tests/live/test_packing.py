"""Policies are kept packed: byte for byte what they were, whatever they say."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.live.policystore import pack, unpack


@given(st.binary(max_size=2000))
def test_what_is_unpacked_is_what_was_packed(document: bytes) -> None:
    assert unpack(pack(document)) == document


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 200_000])
def test_documents_may_be_longer_than_the_window(size: int) -> None:
    document = bytes(range(256)) * (size // 256) + bytes(size % 256)
    assert unpack(pack(document)) == document


def test_policies_take_a_third_at_most() -> None:
    documents = [
        json.dumps(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": f"to-{app}", "namespace": f"team-{number}"},
                "spec": {
                    "podSelector": {"matchLabels": {"app": app}},
                    "policyTypes": ["Ingress"],
                    "ingress": [
                        {
                            "from": [{"podSelector": {"matchLabels": {"app": "web"}}}],
                            "ports": [{"protocol": "TCP", "port": 8000 + number}],
                        }
                    ],
                },
            },
            separators=(",", ":"),
        ).encode()
        for number, app in enumerate(("db", "cache", "queue", "search"))
    ]
    assert sum(map(len, map(pack, documents))) * 3 < sum(map(len, documents))
