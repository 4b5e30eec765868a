"""What the server takes of Pods, workloads, Services and Namespaces, podfence reads.

Rule: podfence looks at a few fields only, so it may take what the server refuses; the other way
round a verdict would be missing that is clear.
"""

from __future__ import annotations

import pytest

from tests.apiserver.client import Client
from tests.apiserver.core import CORE
from tests.apiserver.judge import ask, judge, server_said
from tests.apiserver.mutants import false_refusals

pytestmark = pytest.mark.apiserver

SEED = 1
COUNT = 150
"""`python -m tests.apiserver.mutants` tries thousands."""


@pytest.mark.parametrize("kind", CORE)
def test_bases_are_sound(kind: str, admin: Client) -> None:
    (body,) = CORE[kind]
    assert server_said(ask(admin, body)).accepted, ask(admin, body)
    assert judge(body).accepted


@pytest.mark.parametrize("kind", CORE)
def test_what_the_server_takes_is_read(kind: str, admin: Client) -> None:
    tally = false_refusals(admin, kind, SEED, COUNT)
    assert tally.different == []
    assert COUNT // 10 < tally.refused < COUNT
