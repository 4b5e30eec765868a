"""A strict reader of Prometheus' text format, version 0.0.4: what it takes, every scraper takes."""

from __future__ import annotations

import re
from itertools import pairwise

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
_SAMPLE = re.compile(rf"({_NAME})(?:\{{({_LABEL}(?:,{_LABEL})*)\}})? (\S+)")
_SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("",), "gauge": ("",)}
Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]


def parse(text: str) -> Samples:
    """The samples. Raises AssertionError for anything that the format does not allow."""
    assert text.endswith("\n")
    samples: Samples = {}
    families: dict[str, str] = {}
    name = ""
    helped = ""
    for line in text.splitlines():
        if line.startswith("# HELP "):
            helped = line.split(" ", 3)[2]
            assert helped not in families, f"{helped} twice"
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == helped, f"{name} without a text"
            assert (kind == "counter") == name.endswith("_total"), line
            families[name] = kind
        else:
            found = _SAMPLE.fullmatch(line)
            assert found, line
            assert found[1].removeprefix(name) in _SUFFIXES[families[name]], line
            labels: Labels = tuple(sorted(re.findall(_LABEL, found[2] or "")))
            assert len(dict(labels)) == len(labels), line
            assert (found[1], labels) not in samples, line
            samples[found[1], labels] = float(found[7])
    for name, kind in families.items():
        if kind == "histogram":
            _check_histogram(name, samples)
    return samples


def _check_histogram(name: str, samples: Samples) -> None:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for (found, labels), value in samples.items():
        if found == f"{name}_bucket":
            others = tuple(each for each in labels if each[0] != "le")
            series.setdefault(others, []).append((float(dict(labels)["le"]), value))
    for labels, buckets in series.items():
        assert all(one < two for one, two in pairwise([bound for bound, _ in buckets]))
        assert all(one <= two for one, two in pairwise([number for _, number in buckets]))
        assert buckets[-1] == (float("inf"), samples[f"{name}_count", labels])
        assert (f"{name}_sum", labels) in samples
