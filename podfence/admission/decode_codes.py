"""Codes of the problems that decoding and expanding can find.

Rule: a code never changes its meaning.
"""

from __future__ import annotations

PROBLEM_CODES = {
    "PF201": "unknown field: the API server refuses it (strict field validation)",
    "PF202": "field of the wrong JSON type: the API server cannot decode it",
    "PF203": "validation error: the API server refuses the object with this text",
    "PF204": "null where a value belongs: the API server reads an empty value instead",
    "PF205": "unsupported apiVersion for this kind",
    "PF206": "CIDR that the API server accepts with a warning",
    "PF207": "field of an object other than a policy that cannot be used",
    "PF208": "workload with more pods than podfence expands",
    "PF209": "element that is stored, but cannot be read or evaluated: it fails closed",
    "PF210": "domain names in a rule that does not accept: they match nothing",
    "PF212": "field that only the experimental channel of the API has",
}
"""Problem code to its one-line meaning."""
