"""Names that manifests leave to the server or to a controller.

Rule: everything is deterministic: the same file gives the same names on every run.
"""

from __future__ import annotations

from zlib import crc32

from podfence.errors import Source

_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_PREFIX = 58


def generated_name(prefix: str, source: Source) -> str:
    """The name of an object that has only ``generateName``: the prefix, cut as the server cuts it,
    and five letters that depend on where the object was read."""
    origin = f"{prefix}\0{source.file}\0{source.document}\0{source.item}"
    number = crc32(origin.encode("utf-8", "surrogatepass"))
    suffix = ""
    for _ in range(5):
        number, letter = divmod(number, len(_LETTERS))
        suffix += _LETTERS[letter]
    return prefix[:_LONGEST_PREFIX] + suffix
