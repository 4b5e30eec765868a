"""Times as the server reads them: Go's ``time.Parse`` with the layout RFC 3339.

Rule: the accepted forms are Go's (an hour of one digit, a comma before the fraction), and so is the
text of a refusal.
"""

from __future__ import annotations

import re

_LAYOUT = "2006-01-02T15:04:05Z07:00"
_COMMON = rb"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|1\d|2[0-8])T([01]\d|2[0-3]):[0-5]\d:[0-5]\dZ"
"""The usual form, as servers write it, without the last days of a month."""
_PARTS = (
    ("2006", rb"\d{4}", range(10_000), ""),
    ("-", rb"-", None, ""),
    ("01", rb"\d\d", range(1, 13), "month"),
    ("-", rb"-", None, ""),
    ("02", rb"\d\d", range(100), "day"),
    ("T", rb"T", None, ""),
    ("15", rb"\d\d?", range(24), "hour"),
    (":", rb":", None, ""),
    ("04", rb"\d\d", range(60), "minute"),
    (":", rb":", None, ""),
    ("05", rb"\d\d", range(60), "second"),
)
"""Each element of the layout: its pattern, its range and its name."""
_FRACTION = rb"[.,]\d+"
_ZONE = rb"(?s)(.)(..):(..)"
_LONGEST_HOURS, _LONGEST_MINUTES = 24, 60
_ASCII = range(0x20, 0x80)


def time_complaint(text: str) -> str:
    """Go's error for a time that it cannot parse; "" if it can."""
    value = text.encode("utf-8", "replace")
    if re.fullmatch(_COMMON, value):
        return ""
    numbers: list[int] = []
    rest = value
    for element, pattern, bounds, name in _PARTS:
        found = re.match(pattern, rest)
        if found is None:
            return _cannot(value, rest, element)
        if bounds is not None:
            numbers.append(int(found[0]))
            if numbers[-1] not in bounds:
                return _out_of_range(value, name)
        rest = rest[found.end() :]
    if fraction := re.match(_FRACTION, rest):
        rest = rest[fraction.end() :]
    if rest[:1] == b"Z":
        rest = rest[1:]
    else:
        if complaint := _zone_complaint(value, rest):
            return complaint
        rest = rest[6:]
    if rest:
        return f"parsing time {_quote(value)}: extra text: {_quote(rest)}"
    from calendar import monthrange  # few times need it, and it is slow to import

    year, month, day = numbers[:3]
    # A year 0 has the days of the year 2000: both are leap years.
    return "" if 1 <= day <= monthrange(year or 2000, month)[1] else _out_of_range(value, "day")


def _zone_complaint(value: bytes, rest: bytes) -> str:
    """``+07:00``; an offset of 24 hours or 60 minutes is taken."""
    found = re.match(_ZONE, rest)
    if found is None:
        return _cannot(value, rest, "Z07:00")
    sign, hours, minutes = found.groups()
    if hours.isdigit() and int(hours) > _LONGEST_HOURS:
        return _out_of_range(value, "time zone offset hour")
    if hours.isdigit() and minutes.isdigit() and int(minutes) > _LONGEST_MINUTES:
        return _out_of_range(value, "time zone offset minute")
    if sign not in b"+-" or not (hours.isdigit() and minutes.isdigit()):
        return _cannot(value, rest, "Z07:00")
    return ""


def _cannot(value: bytes, rest: bytes, element: str) -> str:
    return (
        f'parsing time {_quote(value)} as "{_LAYOUT}": cannot parse {_quote(rest)} as "{element}"'
    )


def _out_of_range(value: bytes, name: str) -> str:
    return f"parsing time {_quote(value)}: {name} out of range"


def _quote(value: bytes) -> str:
    """Go's own quotes of ``time``: every byte beyond plain ASCII is written as ``\\x..``."""
    shown = (
        f"\\{chr(byte)}" if byte in b'"\\' else chr(byte) if byte in _ASCII else f"\\x{byte:02x}"
        for byte in value
    )
    return f'"{"".join(shown)}"'
