"""Messages, stages and readings as data; that the kernel agrees is shown in test_nftnetlink."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from random import Random

import pytest

from podfence.errors import NftError
from podfence.kernel.netlink import attribute, attributes, nested, text
from podfence.kernel.nftables import nf_tables as nf
from podfence.kernel.nftables.decode import Dump, read
from podfence.kernel.nftables.decode_elements import KernelElement, ranges, read_items
from podfence.kernel.nftables.decode_rules import ForeignExpression, read_parts
from podfence.kernel.nftables.encode import NftMessage, encode
from podfence.kernel.nftables.encode_elements import ElementList, element_lists, key_text
from podfence.kernel.nftables.encode_rules import expressions
from podfence.kernel.nftables.stages import Existing, batch_size, packed, stages, undoing
from podfence.nft.difference import apply, diff, load
from podfence.nft.objects import (
    DROP,
    Chain,
    Compare,
    DataType,
    Field,
    KeyRange,
    MemberSet,
    RangeSet,
    Rule,
    Set,
    Table,
    VerdictMap,
    goto,
)
from podfence.nft.ruleset import Ruleset
from podfence.nft.transaction import (
    AddChain,
    AddElements,
    AddRules,
    AddSet,
    AddTable,
    DeleteTable,
    ElementHolder,
    Operation,
    Transaction,
)
from podfence.sets.members import Members
from tests.kernel.random_rulesets import random_ruleset

V4, V6, PROTO, PORT = (
    DataType.IPV4_ADDR,
    DataType.IPV6_ADDR,
    DataType.INET_PROTO,
    DataType.INET_SERVICE,
)
LAST4 = 2**32 - 1
SEEDS = range(150)
TABLE = Table("podfence")

# --- elements --------------------------------------------------------------------------------


def bodies_of(part: ElementHolder) -> list[bytes]:
    return [nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, found.data) for found in element_lists(part)]


def read_back(part: ElementHolder) -> list[KernelElement]:
    bodies = bodies_of(part)
    return list(read_items(part.type, bodies))


@pytest.mark.parametrize(
    "types", [(PROTO,), (PORT,), (V4, V4), (PROTO, PORT), (V6, PROTO, PORT, V4)]
)
def test_keys_read_back(types: tuple[DataType, ...]) -> None:
    keys = {tuple(0 for _ in types), tuple(number + 1 for number, _ in enumerate(types))}
    part = Set("s", types, frozenset(keys))
    assert {item.key for item in read_back(part)} == keys


def test_no_list_is_longer_than_an_attribute_may_be() -> None:
    verdicts = {(n,): goto("c" * (1 + n % 128)) for n in range(3_000)}
    part = VerdictMap("m", (V6,), verdicts)  # type: ignore[arg-type]
    found = list(element_lists(part))
    assert len(found) > 3
    assert all(len(nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, each.data)) <= 0xFFFF for each in found)
    assert {item.key: item.verdict for item in read_back(part)} == verdicts


def test_no_list_separates_the_ends_of_a_range() -> None:
    spans = tuple(((n * 10,), (n * 10 + 3,)) for n in range(5_000))
    lists = list(element_lists(RangeSet("i", (V4,), spans)))
    assert len(lists) > 1
    for found in lists:
        assert isinstance(found, ElementList)
        items = read_items((V4,), [nested(nf.NFTA_SET_ELEM_LIST_ELEMENTS, found.data)])
        assert ranges((V4,), items) == found.keys


def test_elements_are_named_by_their_index() -> None:
    (found,) = element_lists(RangeSet("i", (V4,), (((1,), (1,)), ((5,), (9,)))))
    assert isinstance(found, ElementList)
    length = len(found.encoded[0])
    assert found.name_at(0) == found.name_at(length - 1) == "0.0.0.1"
    assert found.name_at(length) == found.name_at(2 * length - 1) == "0.0.0.5-0.0.0.9"
    assert found.name_at(2 * length) == found.name_at(-1) == ""


def test_keys_for_people() -> None:
    assert key_text((V4, PROTO, PORT), (1, 6, 80)) == "0.0.0.1 . 6 . 80"
    assert key_text((V6, PORT), ((0, 80), (1, 80))) == "::-::1 . 80"


@pytest.mark.parametrize(
    ("marks", "expected"),
    [
        pytest.param([], (), id="empty"),
        pytest.param([(0, True), (5, False), (9, True)], (((5,), (8,)),), id="end-at-zero-first"),
        pytest.param([(5, False), (9, True)], (((5,), (8,)),), id="no-end-at-zero"),
        pytest.param([(9, True), (5, False)], (((5,), (8,)),), id="any-order"),
        pytest.param(
            [(5, False), (9, False), (9, True), (10, True)],
            (((5,), (8,)), ((9,), (9,))),
            id="touch",
        ),
        pytest.param([(5, False)], (((5,), (LAST4,)),), id="open-end"),
        pytest.param([(0, False)], (((0,), (LAST4,)),), id="everything"),
    ],
)
def test_ranges_between_marks(
    marks: list[tuple[int, bool]], expected: tuple[KeyRange, ...]
) -> None:
    items = [KernelElement((value,), end=end) for value, end in marks]
    assert ranges((V4,), items) == expected


# --- sets ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declared", "flags"),
    [
        pytest.param(MemberSet("s", Members(4)), 0, id="hash-set"),
        pytest.param(Set("s", (PROTO, PORT)), 0, id="hash-set-of-two-fields"),
        pytest.param(RangeSet("s", (V4,)), 0x4, id="ranges"),
        pytest.param(RangeSet("s", (PROTO, PORT)), 0x84, id="ranges-of-two-fields"),
        pytest.param(VerdictMap("s", (V4,), {}), 0x8, id="map"),
        pytest.param(VerdictMap("s", (PROTO, PORT), {}), 0x8, id="map-of-two-fields"),
    ],
)
def test_flags_of_a_set(declared: ElementHolder, flags: int) -> None:
    """NFT_SET_INTERVAL, NFT_SET_MAP, and NFT_SET_CONCAT for ranges of several fields alone."""
    (message,) = encode(Transaction(TABLE, (AddSet(declared),)))
    said = dict(attributes(message.body[4:]))
    assert int.from_bytes(said[3], "big") == flags
    assert (9 in said) is (flags == 0x84)  # the lengths of the fields, NFTA_SET_DESC


# --- rules -----------------------------------------------------------------------------------


def random_rules() -> Iterator[Rule]:
    for seed in SEEDS:
        for chain in random_ruleset(Random(seed)).chains.values():
            yield from chain.rules


def test_random_rules_read_back() -> None:
    for rule in random_rules():
        assert read_parts(expressions(rule)) == rule.parts


ON_ICMPV6 = Compare(Field.L4PROTO, 58)
ECHO = Compare(Field.ICMPV6_TYPE, 128)


@pytest.mark.parametrize(
    ("parts", "read_as"),
    [
        pytest.param((ECHO,), (ECHO,), id="implied"),
        pytest.param((ON_ICMPV6, ECHO), (ON_ICMPV6, ECHO), id="said"),
        pytest.param((ECHO, ECHO), (ECHO, ECHO), id="implied-once"),
        pytest.param((ECHO, ON_ICMPV6, ECHO), (ECHO, ON_ICMPV6, ECHO), id="said-later"),
        pytest.param(
            (Compare(Field.IP6_SADDR, 1), ON_ICMPV6, ECHO),
            (Compare(Field.IP6_SADDR, 1), ECHO),
            id="said-where-it-is-implied",
        ),
    ],
)
def test_what_a_field_needs_is_not_told_again(
    parts: tuple[Compare, ...], read_as: tuple[Compare, ...]
) -> None:
    data = expressions(Rule(parts))
    assert read_parts(data) == read_as
    assert expressions(Rule(read_as)) == data


def expression(name: str, *attributes: bytes) -> bytes:
    return nested(1, text(1, name) + nested(2, *attributes))


def number(kind: int, value: int) -> bytes:
    return attribute(kind, struct.pack(">I", value))


LOAD_PROTOCOL = expression("meta", number(2, 16), number(1, 1))
LOAD_MARK = expression("ct", number(2, 3), number(1, 1))
EQUALS = expression("cmp", number(1, 1), number(2, 0), nested(3, attribute(1, bytes(4))))
SET_KEPT_BITS = expression(
    "bitwise",
    *(number(kind, value) for kind, value in ((1, 1), (2, 1), (3, 4))),
    *(nested(kind, attribute(1, struct.pack("=I", 1))) for kind in (4, 5)),
) + expression("ct", number(2, 3), number(4, 1))
LOAD_PORTS = expression("payload", number(1, 1), number(2, 2), number(3, 0), number(4, 4))


def test_fields_that_nft_compares_at_once_are_two() -> None:
    ports = nested(3, attribute(1, struct.pack(">HH", 5, 80)))
    data = LOAD_PORTS + expression("cmp", number(1, 1), number(2, 0), ports)
    assert read_parts(data) == (Compare(Field.TH_SPORT, 5), Compare(Field.TH_DPORT, 80))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(LOAD_PROTOCOL, id="loaded-and-not-used"),
        pytest.param(EQUALS, id="used-and-not-loaded"),
        pytest.param(LOAD_MARK + EQUALS, id="without-a-mask"),
        pytest.param(LOAD_MARK + SET_KEPT_BITS, id="a-mark-in-bits-that-are-kept"),
        pytest.param(expression("lookup", text(1, "s")), id="lookup-of-nothing"),
        pytest.param(expression("lookup"), id="lookup-nowhere"),
        pytest.param(expression("ct", number(2, 3)), id="mark-from-nothing"),
        pytest.param(expression("ct", number(2, 1)), id="ct-that-is-not-ours"),
        pytest.param(expression("bitwise", number(3, 4)), id="bitwise-shift"),
        pytest.param(expression("byteorder"), id="byteorder-of-nothing"),
        pytest.param(expression("meta"), id="meta-without-key"),
        pytest.param(expression("cmp"), id="cmp-without-data"),
        pytest.param(expression("immediate", number(1, 1), nested(2)), id="immediate-of-nothing"),
        pytest.param(expression("quota"), id="unknown"),
    ],
)
def test_foreign_expressions(data: bytes) -> None:
    with pytest.raises(ForeignExpression):
        read_parts(data)


# --- stages ----------------------------------------------------------------------------------


def existing(ruleset: Ruleset) -> Existing:
    return Existing(True, {*ruleset.sets, *ruleset.maps}, set(ruleset.chains))


def objects(ruleset: Ruleset) -> dict[tuple[str, str], object]:
    sets = {("set", name): item for name, item in {**ruleset.sets, **ruleset.maps}.items()}
    return {**sets, **{("chain", name): item for name, item in ruleset.chains.items()}}


def renamed(ruleset: Ruleset) -> Ruleset:
    """Without comments, which differ at random and would have the table replaced."""
    return Ruleset.of(TABLE, [*ruleset.objects()])


@pytest.mark.parametrize("seed", SEEDS)
def test_preparation_changes_nothing_that_was_there(seed: int) -> None:
    old, new = (renamed(random_ruleset(Random(seed + k))) for k in (0, 1_000))
    change = diff(old, new)
    if any(isinstance(step, DeleteTable) for step in change):
        old = Ruleset.of(TABLE, ())
        change = Transaction(TABLE, load(new).operations[2:])
    parts = stages(change, existing(old))
    between = apply(old, parts.prepared)
    assert objects(old).items() <= objects(between).items()
    assert all(chain.base is None for n, chain in between.chains.items() if n not in old.chains)
    assert apply(between, parts.final) == new
    assert apply(between, undoing(parts.prepared, existing(old), existing(between))) == old


def test_a_table_that_was_not_there_is_taken_back_as_a_whole() -> None:
    wanted = renamed(random_ruleset(Random(1)))
    parts = stages(Transaction(TABLE, load(wanted).operations[2:]), Existing(table=False))
    undo = undoing(parts.prepared, Existing(table=False), existing(wanted))
    assert undo.operations == (DeleteTable(),)


ONE = Members.of(4, [1])


@pytest.mark.parametrize(
    ("there", "prepared"),
    [
        pytest.param(Existing(True), True, id="new"),
        pytest.param(Existing(True, {"s"}, {"c"}), False, id="there-already"),
        pytest.param(Existing(True, {"c"}, {"s"}), True, id="names-of-other-kinds"),
    ],
)
def test_what_is_there_already_is_filled_in_the_last_step(there: Existing, prepared: bool) -> None:
    """AddSet and AddChain may meet what is there, and that may be in use: an element or a rule more
    has an effect at once."""
    steps: tuple[Operation, ...] = (
        AddSet(MemberSet("s", Members(4))),
        AddChain("c"),
        AddElements(MemberSet("s", ONE)),
        AddRules("c", (Rule((DROP,)),)),
    )
    parts = stages(Transaction(TABLE, steps), there)
    assert parts.prepared.operations == (AddTable(), *(steps if prepared else ()))
    assert parts.final.operations == (() if prepared else steps)


def test_batches_are_full_and_keep_the_order() -> None:
    batch = [NftMessage(1, 0, bytes(100 * (n % 7)), str(n)) for n in range(50)]
    batches = list(packed(batch, 1_000))
    assert [message for each in batches for message in each] == batch
    assert all(batch_size(each) <= 1_000 for each in batches)
    for each, following in pairwise(batches):
        assert batch_size([*each, following[0]]) > 1_000


def test_a_message_that_fits_nowhere_is_alone() -> None:
    batch = [NftMessage(1, 0, bytes(size), "") for size in (10, 5_000, 10)]
    assert [len(each) for each in packed(batch, 1_000)] == [1, 1, 1]


# --- reading ---------------------------------------------------------------------------------


def test_a_dump_that_does_not_fit_together_is_an_error() -> None:
    lost = Chain("c", (Rule((goto("gone"),)),))
    messages = [*encode(load(Ruleset(TABLE, {}, {}, {"c": lost})))]
    table, chain, rule = (message.body[4:] for message in (messages[0], *messages[-2:]))
    with pytest.raises(NftError, match=r"table podfence is not a ruleset of podfence: .*gone"):
        read(Dump(table, [chain], [rule]))


@pytest.mark.parametrize("length", [5, 65, 1 << 16, 0xC2000004, 0xFFFFFFFF])
@pytest.mark.parametrize("field", [Field.IP_SADDR, Field.IP6_DADDR, Field.TH_DPORT])
def test_a_length_is_not_believed(field: Field, length: int) -> None:
    """What is no stretch of fields is refused at once, however long it claims to be."""
    said = expressions(Rule((Compare(field, 1), DROP)))
    size = attribute(nf.NFTA_PAYLOAD_LEN, nf.LOCATIONS[field].length.to_bytes(4, "big"))
    assert size in said
    with pytest.raises(ForeignExpression):
        read_parts(said.replace(size, attribute(nf.NFTA_PAYLOAD_LEN, length.to_bytes(4, "big"))))
