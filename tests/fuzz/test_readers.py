"""Every reader, with what coverage-led runs have kept, and bent bytes."""

from __future__ import annotations

import base64
from pathlib import Path
from random import Random

import pytest

from tests.support.readers import READERS, Reader, answers

CORPUS = Path(__file__).parent / "corpus"
BENT = 40
OF_EACH = pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.name)


def kept(reader: Reader) -> list[bytes]:
    file = CORPUS / f"{reader.name}.txt"
    return [base64.b64decode(line) for line in file.read_text().split()] if file.is_file() else []


def bent(rng: Random, data: bytes) -> bytes:
    """With a few bytes changed, cut out or doubled."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(changed) + 1)
        match rng.randrange(3):
            case 0 if at < len(changed):
                changed[at] = rng.randrange(256)
            case 1:
                del changed[at : at + rng.randint(1, 9)]
            case _:
                changed[at:at] = changed[at : at + rng.randint(1, 9)]
    return bytes(changed)


@OF_EACH
def test_a_valid_input_is_taken(reader: Reader) -> None:
    # A list: each seed is read, those too that have to be refused.
    assert any([answers(reader, data) for data in reader.seeds()])  # noqa: C419


@OF_EACH
def test_what_was_kept_is_answered_or_refused(reader: Reader) -> None:
    for data in (b"", *kept(reader)):
        answers(reader, data)


@OF_EACH
def test_bent_inputs_are_answered_or_refused(reader: Reader) -> None:
    rng = Random(reader.name)
    inputs = [*reader.seeds()][-5:] + kept(reader)[:20]
    for number in range(BENT):
        answers(reader, bent(rng, inputs[number % len(inputs)]))


def test_every_corpus_file_belongs_to_a_reader() -> None:
    assert {file.stem for file in CORPUS.glob("*")} <= {reader.name for reader in READERS}
