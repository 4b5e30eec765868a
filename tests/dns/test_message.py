"""DNS messages: what was asked, which addresses were answered, and what hostile bytes come to."""

from __future__ import annotations

import struct
from itertools import pairwise

import dns.exception
import dns.message
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from podfence.dns.message import (
    AAAA,
    MOST_ALIASES,
    MOST_POINTERS,
    MOST_RECORDS,
    A,
    AddressRecord,
    DnsMessage,
    read_addresses,
    read_head,
    text_of,
)
from podfence.policy.domains import At
from tests.support.dnsmessages import answer, at, question

NAME = "api.example.com"
ONE = [(NAME, 60, "A", "192.0.2.1")]


def head_of(data: bytes) -> DnsMessage:
    found = read_head(data)
    assert found is not None
    return found


def told(data: bytes) -> list[AddressRecord]:
    return [*read_addresses(data, head_of(data))]


def asked(data: bytes) -> str | None:
    return text_of(head_of(data).question.name)


def raw(
    body: bytes, answers: int = 1, questions: int = 1, flags: int = 0x8180, name: bytes = b"\1x\0"
) -> bytes:
    """An answer about ``name``, A, whose records are ``body``."""
    head = struct.pack(">HHHHHH", 7, flags, questions, answers, 0, 0)
    return head + name + struct.pack(">HH", A, 1) + body


def record(owner: bytes, kind: int, data: bytes, seconds: int = 60, group: int = 1) -> bytes:
    return owner + struct.pack(">HHIH", kind, group, seconds, len(data)) + data


# -- what is read


def test_a_question_has_a_number_a_name_and_a_type() -> None:
    head = head_of(question("API.Example.com", "AAAA", 4711))
    assert (head.number, head.is_answer, head.question.type) == (4711, False, AAAA)
    assert text_of(head.question.name) == NAME


@pytest.mark.parametrize("kind", ["MX", "ANY", "HTTPS", "TXT", "PTR"])
def test_other_questions_are_none(kind: str) -> None:
    assert read_head(question(NAME, kind)) is None


@pytest.mark.parametrize(
    ("kind", "value"), [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")], ids=["A", "AAAA"]
)
def test_an_answer_tells_addresses_and_how_long_they_hold(kind: str, value: str) -> None:
    data = answer(NAME, [(NAME, 30, kind, value)], kind)
    assert told(data) == [AddressRecord(at(value), 30)]


def test_an_answer_may_have_many() -> None:
    records = [(NAME, 60, "A", f"192.0.2.{n}") for n in range(1, 151)]
    assert len(told(answer(NAME, records))) == 150


def test_a_chain_is_followed_and_holds_as_long_as_its_shortest_link() -> None:
    records = [
        (NAME, 300, "CNAME", "a.cdn.test."),
        ("a.cdn.test", 20, "CNAME", "b.cdn.test."),
        ("b.cdn.test", 60, "A", "192.0.2.7"),
    ]
    for order in (records, records[::-1]):
        assert told(answer(NAME, order)) == [AddressRecord(at("192.0.2.7"), 20)]


@pytest.mark.parametrize(
    "records",
    [
        pytest.param([("other.test", 60, "A", "192.0.2.7")], id="of another name"),
        pytest.param(
            [(NAME, 9, "CNAME", "a.test."), ("b.test", 9, "A", "192.0.2.7")], id="a broken chain"
        ),
        pytest.param(
            [(NAME, 9, "CNAME", "a.test."), (NAME, 9, "A", "192.0.2.7")], id="beside an alias"
        ),
        pytest.param(
            [(NAME, 9, "CNAME", "a.test."), ("a.test", 9, "CNAME", NAME + ".")], id="a circle"
        ),
        pytest.param([(NAME, 60, "AAAA", "2001:db8::1")], id="of another type"),
        pytest.param([], id="nothing"),
    ],
)
def test_what_does_not_lead_from_the_question_tells_nothing(
    records: list[tuple[str, int, str, str]],
) -> None:
    assert told(answer(NAME, records)) == []


def test_two_aliases_of_one_name_tell_nothing() -> None:
    name = b"\1x\0"
    body = record(name, 5, b"\1a\0") + record(name, 5, b"\1b\0") + record(b"\1a\0", A, bytes(4))
    assert told(raw(body, 3)) == []


def test_a_chain_may_be_so_long_and_no_longer() -> None:
    def chain(links: int) -> bytes:
        names = [NAME, *(f"n{n}.test" for n in range(links))]
        links_ = [(a, 60, "CNAME", b + ".") for a, b in pairwise(names)]
        return answer(NAME, [*links_, (names[-1], 60, "A", "192.0.2.7")])

    assert len(told(chain(MOST_ALIASES))) == 1
    assert told(chain(MOST_ALIASES + 1)) == []


@pytest.mark.parametrize(
    "flags",
    [
        pytest.param(0x8380, id="cut off"),
        pytest.param(0x8182, id="server failure"),
        pytest.param(0x8183, id="no such name"),
        pytest.param(0x0100, id="a question"),
    ],
)
def test_only_a_whole_answer_that_says_yes_tells_addresses(flags: int) -> None:
    good = answer(NAME, ONE)
    assert told(good)
    assert told(good[:2] + struct.pack(">H", flags) + good[4:]) == []


def test_another_operation_is_none() -> None:
    good = answer(NAME, ONE)
    assert read_head(good[:2] + struct.pack(">H", 0xA980) + good[4:]) is None


def test_a_record_of_another_class_tells_nothing() -> None:
    name = b"\1x\0"
    assert told(raw(record(name, A, bytes(4), group=3))) == []


def test_seconds_beyond_the_signed_are_none() -> None:
    assert told(raw(record(b"\1x\0", A, b"\1\2\3\4", seconds=1 << 31)))[0].seconds == 0


# -- names


@pytest.mark.parametrize(
    ("wire", "text"),
    [
        (b"\3www\7EXAMPLE\0", "www.example"),
        (b"\5_http\4a--b\0", "_http.a--b"),
        (b"\3a.b\0", None),
        (b"\3a\x00b\0", None),
        (b"\2\xc3\xa9\0", None),
        (b"\2-a\0", None),
        (b"\1*\0", None),
        (b"\3\x1b[m\0", None),
        (b"\2a\n\0", None),
        (b"\0", None),
    ],
)
def test_a_name_with_bytes_that_no_rule_can_write_is_none(wire: bytes, text: str | None) -> None:
    assert asked(raw(b"", 0, name=wire)) == text


# -- hostile bytes


def test_every_cut_of_a_good_answer_tells_nothing() -> None:
    good = answer(NAME, [(NAME, 300, "CNAME", "a.test."), ("a.test", 9, "A", "192.0.2.7")])
    whole = read_head(good)
    assert whole is not None
    for end in range(len(good)):
        head = read_head(good[:end])
        assert head is None or read_addresses(good[:end], head) == ()


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(b"\xc0\x0c", id="a pointer to itself"),
        pytest.param(b"\xc0\x0e\xc0\x0c", id="two that lead to each other"),
        pytest.param(b"\1a\xc0\x0c", id="a loop with a label"),
        pytest.param(b"\xc0\x00", id="a pointer into the head"),
        pytest.param(b"\xff\xff", id="a pointer beyond the end"),
        pytest.param(b"\x40a\0", id="a label type that is none"),
        pytest.param(b"\x80a\0", id="another one"),
        pytest.param(b"\x3faa", id="a label beyond the end"),
        pytest.param(b"\x3f" + b"a" * 63, id="no end"),
        pytest.param((b"\x3f" + b"a" * 63) * 4 + b"\0", id="257 bytes"),
        pytest.param(b"\xc0", id="half a pointer"),
    ],
)
def test_a_bad_name_is_no_question(name: bytes) -> None:
    data = struct.pack(">HHHHHH", 7, 0x8180, 1, 0, 0, 0) + name
    assert read_head(data) is None or name.endswith(b"\0") is False
    assert read_head(data + struct.pack(">HH", A, 1)) is None


def test_the_longest_name_is_read() -> None:
    longest = (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0"
    assert len(longest) == 255
    assert head_of(raw(b"", 0, name=longest)).question.name == longest


def test_pointers_are_followed_so_often_and_no_more() -> None:
    def chain(number: int) -> bytes:
        """A record whose owner is a pointer to a pointer ... to the question."""
        start = 12 + 3 + 4
        pad = [record(b"\xc0\x0c", 16, b"")]
        at_ = start
        for _ in range(number - 1):
            pad.append(record(struct.pack(">H", 0xC000 | at_), 16, b""))
            at_ += 12
        return raw(b"".join(pad[:-1]) + record(pad[-1][:2], A, b"\1\2\3\4"), number)

    assert len(told(chain(MOST_POINTERS))) == 1
    assert told(chain(MOST_POINTERS + 1)) == []


def test_a_record_that_cannot_be_read_spoils_the_answer() -> None:
    good = record(b"\1x\0", A, b"\1\2\3\4")
    assert len(told(raw(good))) == 1
    assert told(raw(good + b"\1x\0", 2)) == []
    assert told(raw(good + record(b"\1x\0", A, b"\1\2\3"), 2)) == []
    assert told(raw(good + record(b"\1x\0", 5, b"\1a\0\0"), 2)) == []


def test_too_many_records_tell_nothing() -> None:
    each = record(b"\1x\0", A, b"\1\2\3\4")
    assert told(raw(each * MOST_RECORDS, MOST_RECORDS))
    assert told(raw(each * (MOST_RECORDS + 1), MOST_RECORDS + 1)) == []


@given(st.binary(max_size=600))
def test_any_bytes_end_and_raise_nothing(data: bytes) -> None:
    for each in (data, raw(data, 3), raw(data, 65535)):
        head = read_head(each)
        if head is not None:
            read_addresses(each, head)
            text_of(head.question.name)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([NAME, "a.test", "b.test", "A.TEST"]),
            st.integers(0, 2**31 - 1),
            st.sampled_from(["A", "CNAME", "TXT"]),
            st.integers(1, 250),
        ),
        max_size=6,
    ),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=3),
)
def test_what_is_told_is_what_another_reader_finds(
    drawn: list[tuple[str, int, str, int]], edits: list[tuple[int, int]]
) -> None:
    """dnspython reads answers in another way, and more of them: never less than is told here."""
    values = {"A": "192.0.2.{}", "CNAME": "b.test.", "TXT": "x{}"}
    records = [(o, s, kind, values[kind].format(n)) for o, s, kind, n in drawn]
    data = bytearray(answer(NAME, records))
    for index, value in edits:
        data[index % len(data)] = value
    found = read_head(bytes(data))
    ours = () if found is None else read_addresses(bytes(data), found)
    if ours:
        theirs = read_by_dnspython(bytes(data))
        assert theirs is None or {each.address for each in ours} <= theirs


def read_by_dnspython(data: bytes) -> set[At] | None:
    """All addresses in an answer; None where it refuses something that is not looked at here."""
    try:
        theirs = dns.message.from_wire(data, ignore_trailing=True, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError):
        return None
    return {
        at(item.address)
        for rrset in theirs.answer
        if rrset.rdtype in (dns.rdatatype.A, dns.rdatatype.AAAA)
        and rrset.rdclass == dns.rdataclass.IN
        for item in rrset
    }
