"""Random objects are accepted or refused alike by the server and by podfence, in the same words."""

from __future__ import annotations

import pytest

from tests.apiserver.bases import BASES
from tests.apiserver.client import Client
from tests.apiserver.crds import Crds
from tests.apiserver.judge import ask, differences, judge, server_said
from tests.apiserver.mutants import channel_of, compare, mutant

pytestmark = pytest.mark.apiserver

SEED = 1
COUNT = 200
"""`python -m tests.apiserver.mutants` tries thousands."""


@pytest.mark.parametrize("base", BASES)
def test_bases_are_sound(base: str, crds: Crds, admin: Client) -> None:
    crds.install(channel_of(base))
    for body in BASES[base]:
        said = server_said(ask(admin, body))
        assert said.accepted, said
        assert differences(said, judge(body)) == []


@pytest.mark.parametrize("base", BASES)
def test_mutants_are_judged_alike(base: str, crds: Crds, admin: Client) -> None:
    crds.install(channel_of(base))
    tally = compare(admin, base, SEED, COUNT)
    assert tally.different == []
    assert COUNT // 10 < tally.refused < COUNT


def test_a_mutant_is_a_function_of_its_number() -> None:
    first = [mutant("NetworkPolicy", SEED, number) for number in range(50)]
    again = [mutant("NetworkPolicy", SEED, number) for number in range(50)]
    assert first == again
    assert len({str(body) for body in first}) > 40
