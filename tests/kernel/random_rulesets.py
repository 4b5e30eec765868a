"""Rulesets that no lowering makes: every kind of object, field and statement, at every boundary.

Rule: only what ``nft`` takes as text, too: it refuses rules that can never match (two IP versions,
two protocols), and anything after a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from podfence.nft.objects import (
    ACCEPT,
    ADDRESS_TYPES,
    DROP,
    RETURN,
    SCTP,
    SIZES,
    TCP,
    UDP,
    BaseChain,
    Between,
    Chain,
    Compare,
    Counter,
    CtDirection,
    CtDirectionValue,
    CtMark,
    CtState,
    CtStateBit,
    DataType,
    Expression,
    Field,
    Hook,
    Key,
    KeyRange,
    Limit,
    Log,
    Lookup,
    MemberSet,
    MetaIifKind,
    RangeSet,
    Rule,
    Set,
    SetCtMark,
    Statement,
    Table,
    VerdictMap,
    Vmap,
    goto,
    jump,
)
from podfence.nft.ruleset import AnySet, Ruleset
from podfence.sets.members import Members

COMMENTS = ("", "a comment", "shop/db-allow ingress[0].from[1]", "x" * 128, "({[<&|>]})")
FAMILIES: dict[int, tuple[Field, ...]] = {
    4: (Field.IP_SADDR, Field.IP_DADDR),
    6: (Field.IP6_SADDR, Field.IP6_DADDR, Field.IP6_HOPLIMIT),
}
TRANSPORT = (Field.L4PROTO, Field.TH_DPORT, Field.TH_SPORT)
ICMPV6 = (Field.ICMPV6_TYPE,)
MERGED = Field.TH_SPORT
"""Of both ports in one rule ``nft`` makes one comparison, and prints it as raw bytes."""
STATES = tuple(CtStateBit)


def highest(kind: DataType) -> int:
    return (1 << 8 * SIZES[kind]) - 1


def random_value(random: Random, kind: DataType) -> int:
    """Often one of the ends of the type; of protocols those that ``nft`` knows ports of."""
    if kind is DataType.INET_PROTO:
        return random.choice((TCP, UDP, SCTP))
    last = highest(kind)
    return random.choice((0, 1, last, last - 1, random.randint(0, last), random.randint(0, last)))


def random_key(random: Random, types: Sequence[DataType]) -> Key:
    return tuple(random_value(random, kind) for kind in types)


def random_spans(random: Random, kind: DataType, most: int) -> tuple[tuple[int, int], ...]:
    """Disjoint, in order, some of them adjacent, single values or the whole type. Protocols have
    names, and ``nft`` knows no range of names."""
    if kind is DataType.INET_PROTO:
        return tuple((value, value) for value in (TCP, UDP, SCTP) if random.random() < 0.5)
    last = highest(kind)
    if random.random() < 0.1:
        return ((0, last),)
    cuts = sorted({random_value(random, kind) for _ in range(random.randint(1, most))} | {0})
    ends = [*(cut - 1 for cut in cuts[1:]), last]
    chosen = [span for span in zip(cuts, ends, strict=True) if random.random() < 0.7]
    return tuple((low, low if random.random() < 0.3 else high) for low, high in chosen)


def random_span(random: Random, kind: DataType) -> tuple[int, int]:
    first, second = (random_value(random, kind) for _ in range(2))
    same = kind is DataType.INET_PROTO
    return (first, first) if same else (min(first, second), max(first, second))


def random_ranges(random: Random, types: tuple[DataType, ...]) -> tuple[KeyRange, ...]:
    """Disjoint in the first field, anything in the others."""
    found = []
    for low, high in random_spans(random, types[0], 6):
        rest = [random_span(random, kind) for kind in types[1:]]
        found.append(((low, *(first for first, _ in rest)), (high, *(last for _, last in rest))))
    return tuple(found)


def random_ruleset(random: Random) -> Ruleset:
    """A few of everything; base chains lead to regular ones, and these to later ones."""
    return _Maker(random).ruleset()


ADDRESSES = {(kind,): family for family, kind in ADDRESS_TYPES.items()}


class _Maker:
    def __init__(self, random: Random) -> None:
        self._random = random
        self._sets: list[AnySet] = []
        self._maps: list[VerdictMap] = []

    def ruleset(self) -> Ruleset:
        random = self._random
        regular: list[Chain] = []
        for number in range(random.randint(1, 4)):
            targets = tuple(chain.name for chain in regular)
            regular.append(Chain(f"c{number}", self._rules(targets), None, self._comment()))
        targets = tuple(chain.name for chain in regular)
        bases = [
            Chain(f"b{number}", self._rules(targets), self._base(hook), self._comment())
            for number, hook in enumerate(Hook)
        ]
        table = Table("podfence", self._comment())
        return Ruleset.of(table, [*self._sets, *self._maps, *regular, *bases])

    def _comment(self) -> str:
        return self._random.choice(COMMENTS)

    def _base(self, hook: Hook) -> BaseChain:
        policy = self._random.choice((ACCEPT, DROP))
        return BaseChain(hook, self._random.choice((-10, 0, 1, -(2**31), 2**31 - 1)), policy)

    def _rules(self, targets: Sequence[str]) -> tuple[Rule, ...]:
        return tuple(self._rule(targets) for _ in range(self._random.randint(0, 6)))

    def _rule(self, targets: Sequence[str]) -> Rule:
        random = self._random
        upper = random.choice((TRANSPORT, ICMPV6))
        family = 6 if upper is ICMPV6 else random.choice((4, 6))
        fields = (*FAMILIES[family], *upper)
        parts: list[Expression | Statement] = []
        parts.extend(self._part(fields) for _ in range(random.randint(0, 4)))
        parts.extend(self._end(fields, targets))
        return Rule(tuple(parts or [Counter()]), self._comment())

    def _part(self, fields: Sequence[Field]) -> Expression | Statement:
        random = self._random
        kind = random.randrange(9)
        if kind <= 1:
            field = random.choice([f for f in fields if f is not MERGED])
            return Compare(field, random_value(random, field.type), random.random() < 0.3)
        if kind == 2:
            field = random.choice([f for f in fields if f is not Field.L4PROTO])
            low = random.randint(0, highest(field.type) - 1)
            return Between(field, low, random.randint(low + 1, highest(field.type)))
        if kind <= 4:
            return self._lookup(fields)
        return self._plain()

    def _plain(self) -> Expression | Statement:
        random = self._random
        mask = random.choice((0xFFFF0000, 0xFFFFFFFF, 1, 0x80000000))
        states = CtStateBit(0)
        for state in random.sample(STATES, random.randint(1, len(STATES))):
            states |= state
        value = random.getrandbits(32)
        return random.choice(
            (
                CtState(states),
                MetaIifKind(random.choice(("veth", "bridge", "x" * 15))),
                CtDirection(random.choice(tuple(CtDirectionValue))),
                CtMark(mask, value & mask),
                SetCtMark(0xFFFFFFFF & ~mask, value & mask),
                Counter(),
                Limit(random.choice((1, 20, 2**31)), random.choice((1, 5, 40))),
                Log(random.choice((0, 77, 65535)), random.choice(("p", "podfence:x", "y" * 63))),
            )
        )

    def _lookup(self, fields: Sequence[Field]) -> Lookup:
        chosen = self._key_fields(fields)
        types = tuple(field.type for field in chosen)
        name = f"s{len(self._sets)}"
        comment = self._comment()
        if self._random.random() < 0.5:
            elements = random_ranges(self._random, types)
            self._sets.append(RangeSet(name, types, elements, comment))
        elif types in ADDRESSES:
            members = Members.of(ADDRESSES[types], (key[0] for key in self._keys(types)))
            self._sets.append(MemberSet(name, members, comment))
        else:
            keys = frozenset(self._keys(types))
            self._sets.append(Set(name, types, keys, comment))
        return Lookup(chosen, name)

    def _key_fields(self, fields: Sequence[Field]) -> tuple[Field, ...]:
        usable = [field for field in fields if field.type is not DataType.INTEGER]
        return tuple(self._random.sample(usable, self._random.randint(1, len(usable))))

    def _keys(self, types: tuple[DataType, ...]) -> Iterator[Key]:
        for _ in range(self._random.choice((0, 1, 3, 20))):
            yield random_key(self._random, types)

    def _end(
        self, fields: Sequence[Field], targets: Sequence[str]
    ) -> Iterator[Expression | Statement]:
        verdicts = [ACCEPT, DROP, RETURN, *map(jump, targets), *map(goto, targets)]
        kind = self._random.random()
        if kind < 0.4:
            yield self._random.choice(verdicts)
        elif kind < 0.7:
            chosen = self._key_fields(fields)
            types = tuple(field.type for field in chosen)
            name = f"m{len(self._maps)}"
            elements = {key: self._random.choice(verdicts) for key in self._keys(types)}
            self._maps.append(VerdictMap(name, types, elements, self._comment()))
            yield Vmap(chosen, name)
