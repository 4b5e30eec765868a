"""LabelSelector: which label sets it matches (NP-4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum

from msgspec import Struct

from podfence.model.meta import Labels


class Operator(Enum):
    """Operators of a label selector requirement, spelled as the API spells them."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"

    __hash__ = object.__hash__  # as of what is compared by identity; that of Enum is slow


_NEED_VALUES = frozenset({Operator.IN, Operator.NOT_IN})


class LabelSelectorRequirement(Struct, frozen=True, cache_hash=True):
    """``values`` is empty for Exists and DoesNotExist, otherwise it has at least one value."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError for values that the operator does not take, or needs and has not."""
        if bool(self.values) is not (self.operator in _NEED_VALUES):
            raise ValueError(f"{self.operator.value} of {len(self.values)} values")

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a label set meets this requirement. NotIn also holds for an absent key (NP-4)."""
        if self.operator is Operator.IN:
            return labels.get(self.key) in self.values
        if self.operator is Operator.NOT_IN:
            return self.key not in labels or labels[self.key] not in self.values
        return (self.key in labels) is (self.operator is Operator.EXISTS)


class LabelSelector(Struct, frozen=True, cache_hash=True):
    """All of ``match_labels`` and all of ``match_expressions`` must hold; empty: everything."""

    match_labels: Labels = ()
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()

    @property
    def selects_everything(self) -> bool:
        """True for ``{}``."""
        return not self.match_labels and not self.match_expressions

    @property
    def asked_keys(self) -> frozenset[str]:
        """The keys of the labels that it asks for."""
        asked = {key for key, _ in self.match_labels}
        return frozenset(asked.union(r.key for r in self.match_expressions))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether a label set is selected."""
        for key, value in self.match_labels:  # a loop, since this is asked very often
            if labels.get(key) != value:
                return False
        return all(requirement.matches(labels) for requirement in self.match_expressions)
