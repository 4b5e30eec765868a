"""A document of kind PolicyTests -> its tests, or what is wrong with it, field by field."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from podfence.admission.decode import decode as decode_object
from podfence.admission.decode import is_wanted
from podfence.admission.decode_strict import json_type
from podfence.admission.kinds import CLUSTER_SCOPED, POLICY_KINDS, TESTS_KIND
from podfence.errors import Problem, Severity, Source
from podfence.model.kindnames import kind_called
from podfence.model.meta import DEFAULT_NAMESPACE, METADATA_NAME_LABEL
from podfence.model.workloads import WORKLOAD_KINDS
from podfence.policy.flow import Direction
from podfence.questions.tests.endfields import EndReader
from podfence.questions.tests.fields import DocumentFields, Json, at
from podfence.questions.tests.form import (
    Addition,
    Expect,
    FixturePod,
    Given,
    NewcomerEnd,
    OnlyItem,
    Patch,
    PolicyTest,
    PolicyTests,
    Removal,
    Unless,
    entries_among,
    is_of_entries,
)
from podfence.sets.ports import MAX_PORT

API_VERSION = "podfence.io/v1alpha1"
RUNS_IN = ("model", "lab", "cluster")
_TOP = ("apiVersion", "kind", "metadata", "defaults", "groups", "fixtures", "tests")
_TEST = (
    "name",
    "from",
    "to",
    "ports",
    "expect",
    "only",
    "isolated",
    "newcomers",
    "groupBy",
    "unless",
    "by",
    "given",
    "skip",
    "expectFailure",
    "tags",
    "in",
    "allowEmpty",
)
_PATCHED = WORKLOAD_KINDS | {"Namespace", "Pod"}
_REMOVED = WORKLOAD_KINDS | POLICY_KINDS | {"Pod", "Service"}
_DIRECTIONS = {each.value: each for each in Direction}


def decode(data: Json, source: Source) -> tuple[PolicyTests | None, tuple[Problem, ...]]:
    """The tests of a document; None with at least one problem where it cannot be used."""
    metadata = data.get("metadata")
    name = str(metadata.get("name") or "") if isinstance(metadata, Mapping) else ""
    reader = _TestFileDecoder(data, source, f"{TESTS_KIND} {name}".strip())
    found = reader.read(name)
    problems = tuple(dict.fromkeys(reader.fields.problems))  # a group is read wherever it is used
    return (None if problems else found), problems


class _TestFileDecoder:
    def __init__(self, data: Json, source: Source, subject: str) -> None:
        self.fields = DocumentFields(source, subject)
        self._data = data
        self._source = source
        self._namespace = DEFAULT_NAMESPACE
        self._ends: EndReader

    def read(self, name: str) -> PolicyTests:
        fields, data = self.fields, self._data
        fields.known(data, "", _TOP)
        if data.get("apiVersion") != API_VERSION:
            fields.refuse("apiVersion", f"{data.get('apiVersion')!r} is unknown; {API_VERSION}")
        if data.get("metadata") is not None:
            fields.mapping(data["metadata"], "metadata", ("name", "labels", "annotations"))
        if data.get("defaults") is not None:
            found = fields.mapping(data["defaults"], "defaults", ("namespace",)) or {}
            self._namespace = fields.text(found, "namespace", "defaults") or DEFAULT_NAMESPACE
        groups = data.get("groups")
        groups = fields.mapping(groups, "groups") if groups is not None else {}
        self._ends = EndReader(fields, self._namespace, groups or {})
        self._ends.check_groups()
        tests: list[PolicyTest] = []
        seen: dict[str, str] = {}
        for path, item in fields.items(data, "tests", ""):
            test = self._test(item, path)
            if test is not None:
                if test.name in seen:
                    fields.refuse(at(path, "name"), f"{test.name!r} is also {seen[test.name]}")
                seen.setdefault(test.name, path)
                tests.append(test)
        if not tests and not fields.problems:
            fields.refuse("tests", "has no test; write at least one")
        pods, namespaces = self._fixtures()
        return PolicyTests(name, self._source, tuple(tests), pods, namespaces)

    # -- one test

    def _test(self, item: Any, path: str) -> PolicyTest | None:
        fields, ends = self.fields, self._ends
        found = fields.mapping(item, path, _TEST)
        if found is None:
            return None
        before = len(fields.problems)
        name = fields.required(found, "name", path)
        expect = fields.choice(found, "expect", path, {each.value: each for each in Expect})
        sources = ends.targets(found, "from", path, ported=False)
        targets = ends.targets(found, "to", path)
        if "newcomers" in found and "isolated" in found and "groupBy" not in found:
            newcomers = self._newcomers(found["newcomers"], at(path, "newcomers"))
        else:
            newcomers = None
        test = PolicyTest(
            name=name,
            path=path,
            source=self._source,
            sources=sources,
            targets=targets,
            ports=ends.ports(found, path),
            expect=expect,
            only=self._only(found, path, targets is not None) if "only" in found else None,
            isolated=tuple(fields.choices(found, "isolated", path, _DIRECTIONS)),
            newcomers=newcomers,
            group_by=self._group_by(found, path),
            unless=self._unless(found, path),
            by=fields.choice(found, "by", path, _DIRECTIONS),
            given=self._given(found, path),
            skip=fields.text(found, "skip", path),
            expect_failure=fields.text(found, "expectFailure", path),
            tags=tuple(
                str(tag) for _, tag in fields.items(found, "tags", path) if isinstance(tag, str)
            ),
            runs_in=tuple(fields.choices(found, "in", path, {each: each for each in RUNS_IN})),
            allow_empty=fields.flag(found, "allowEmpty", path),
        )
        if len(fields.problems) == before:
            self._check(test, found, path)
        return test

    def _check(self, test: PolicyTest, found: Json, path: str) -> None:
        """Which fields may go together."""
        refuse = self.fields.refuse
        kinds = [key for key in ("expect", "only", "isolated") if found.get(key) is not None]
        if len(kinds) != 1:
            said = f"has {' and '.join(kinds)}" if kinds else "states no expectation"
            refuse(path, f"{said}; write one of expect, only, isolated")
        elif kinds == ["isolated"]:
            if test.newcomers is None and test.targets is None:
                refuse(path, "isolated applies to pods; name them with newcomers or with to")
            if test.sources or test.unless or test.by or "ports" in found or test.group_by:
                refuse(path, "isolated goes with newcomers or to, and with no other end or port")
        elif kinds == ["only"]:
            if (test.sources is None) is (test.targets is None):
                refuse(path, "only describes one side; name either from or to")
            if test.unless or test.group_by:
                refuse(path, "only takes neither unless nor groupBy; its entries say what may be")
        elif not test.group_by and (test.sources is None or test.targets is None):
            missing = "from" if test.sources is None else "to"
            refuse(path, f"has no {missing}; name both ends of the connection")
        self._check_entries(test, path)
        if "newcomers" in found and kinds != ["isolated"]:
            refuse(
                at(path, "newcomers"),
                "goes only with isolated; as an end write from: {namespace: NAME, newcomer: {}}",
            )

    def _check_entries(self, test: PolicyTest, path: str) -> None:
        """An entry is where the connections of a test with expect come from, and nothing else."""
        alone = "an entry goes with other entries alone, in from of a test with expect and to"
        others = [test.targets or (), *(item.targets for item in test.only or ())]
        others += [
            each for item in test.unless for each in (item.sources or (), item.targets or ())
        ]
        misplaced = [end for targets in others for end in entries_among(targets)]
        kinds = {is_of_entries(each.end) for each in test.sources or ()}
        mixed = bool(test.entries) and kinds != {True}
        narrowed = test.entries and (test.expect is None or test.unless or test.by or test.group_by)
        if misplaced or mixed or narrowed:
            text = (misplaced or test.entries)[0].text
            self.fields.refuse(path, f"{text}: {alone}; leave out only, unless, by and groupBy")

    def _only(self, found: Json, path: str, to: bool) -> tuple[OnlyItem, ...]:
        """``to``: the entries are sources."""
        key = "from" if to else "to"
        fields, entries = self.fields, []
        for where, item in fields.items(found, "only", path):
            if isinstance(item, str):
                item = {key: item}
            entry = fields.mapping(item, where, (key, "ports", "optional"))
            if entry is None:
                continue
            targets = self._ends.targets(entry, key, where, ported=not to)
            if targets is None:
                fields.refuse(where, f"has no {key}")
                continue
            ports = self._ends.ports(entry, where)
            entries.append(OnlyItem(where, targets, ports, fields.flag(entry, "optional", where)))
        return tuple(entries)

    def _unless(self, found: Json, path: str) -> tuple[Unless, ...]:
        fields, kept = self.fields, []
        for where, item in fields.items(found, "unless", path):
            entry = fields.mapping(item, where, ("from", "to", "ports"))
            if entry is None:
                continue
            sources = self._ends.targets(entry, "from", where, ported=False)
            targets = self._ends.targets(entry, "to", where)
            if sources is None and targets is None:
                fields.refuse(where, "has neither from nor to")
            kept.append(Unless(where, sources, targets, self._ends.ports(entry, where)))
        return tuple(kept)

    def _group_by(self, found: Json, path: str) -> str:
        if found.get("groupBy") is None:
            return ""
        inner = at(path, "groupBy")
        value = self.fields.mapping(found["groupBy"], inner, ("namespaceLabel",))
        return self.fields.required(value, "namespaceLabel", inner) if value is not None else ""

    def _newcomers(self, value: Any, path: str) -> NewcomerEnd | None:
        found = self.fields.mapping(value, path, ("namespace", "labels"))
        if found is None:
            return None
        namespace = self.fields.text(found, "namespace", path) or None
        labels = self.fields.labels(found.get("labels"), at(path, "labels"))
        return NewcomerEnd(f"newcomers of {namespace or 'every namespace'}", namespace, labels)

    # -- what-if

    def _given(self, found: Json, path: str) -> tuple[Given, ...]:
        kept: list[Given] = []
        for where, item in self.fields.items(found, "given", path):
            edit = self.fields.mapping(item, where, ("patch", "add", "remove"))
            if edit is None:
                continue
            if len(edit) != 1:
                self.fields.refuse(where, "one item is one edit: patch, add or remove")
                continue
            [(word, value)] = edit.items()
            made = self._edit(word, value, at(where, word))
            if made is not None:
                kept.append(made)
        return tuple(kept)

    def _edit(self, word: str, value: Any, path: str) -> Given | None:
        fields = self.fields
        if word == "add":
            return self._addition(value, path)
        names = ("kind", "namespace", "name", *(("labels",) if word == "patch" else ()))
        found = fields.mapping(value, path, names)
        if found is None:
            return None
        kind = self._kind(found, path, _PATCHED if word == "patch" else _REMOVED)
        name = fields.required(found, "name", path)
        namespace = fields.text(found, "namespace", path) or self._namespace
        if word == "remove":
            return Removal(path, kind, namespace, name)
        labels = fields.mapping(found.get("labels"), at(path, "labels")) or {}
        for key, each in labels.items():
            if key == METADATA_NAME_LABEL and kind == "Namespace":
                text = "the API server sets this label to the name of the namespace (NP-21)"
                fields.refuse(at(at(path, "labels"), key), text)
            if each is not None and not isinstance(each, str):
                text = f"a label is a string, or null to remove it, got {json_type(each)}"
                fields.refuse(at(at(path, "labels"), str(key)), text)
        return Patch(path, kind, namespace, name, labels)

    def _kind(self, found: Json, path: str, known: Set[str]) -> str:
        word = self.fields.required(found, "kind", path)
        kind = kind_called(word)
        if word and kind not in known:
            self.fields.refuse(
                at(path, "kind"), f"{word!r} is not one of {', '.join(sorted(known))}"
            )
        return kind

    def _addition(self, value: Any, path: str) -> Addition | None:
        """An object as in a manifest; one without a namespace is in that of the file."""
        manifest = self.fields.mapping(value, path)
        if manifest is None:
            return None
        if not is_wanted(manifest):
            self.fields.refuse(
                path, (f"objects of kind {manifest.get('kind')!r} have no effect on policies")
            )
            return None
        metadata = manifest.get("metadata")
        if isinstance(metadata, Mapping) and manifest.get("kind") not in CLUSTER_SCOPED:
            manifest = {**manifest, "metadata": {"namespace": self._namespace, **metadata}}
        decoded = decode_object(manifest, self._source)
        for problem in decoded.problems:
            if problem.severity is Severity.ERROR:
                self.fields.refuse(
                    f"{path}.{problem.path}" if problem.path else path, problem.message
                )
        return Addition(path, decoded.objects)

    # -- fixtures

    def _fixtures(self) -> tuple[tuple[FixturePod, ...], tuple[tuple[str, Any], ...]]:
        fields = self.fields
        if self._data.get("fixtures") is None:
            return (), ()
        found = fields.mapping(self._data["fixtures"], "fixtures", ("pods", "namespaces")) or {}
        pods = [self._pod(item, where) for where, item in fields.items(found, "pods", "fixtures")]
        where = "fixtures.namespaces"
        spaces = found.get("namespaces")
        spaces = (fields.mapping(spaces, where) if spaces is not None else {}) or {}
        return (
            tuple(pod for pod in pods if pod is not None),
            tuple((str(n), fields.labels(v, at(where, str(n)))) for n, v in spaces.items()),
        )

    def _pod(self, item: Any, path: str) -> FixturePod | None:
        fields = self.fields
        found = fields.mapping(item, path, ("name", "labels", "ports"))
        if found is None:
            return None
        namespace, slash, name = fields.required(found, "name", path).rpartition("/")
        inner = at(path, "ports")
        value = found.get("ports")
        ports = (fields.mapping(value, inner) if value is not None else {}) or {}
        for key, number in ports.items():
            if type(number) is not int or not 0 < number <= MAX_PORT:
                fields.refuse(at(inner, str(key)), f"expected a port number, 1 to {MAX_PORT}")
        labels = fields.labels(found.get("labels"), at(path, "labels"))
        where = namespace if slash else self._namespace
        numbers = ((str(key), number) for key, number in ports.items() if type(number) is int)
        return FixturePod(where, name, labels, tuple(numbers))
