"""The law of mirrors (agents between which mirrors stand know what the API says).

Random events of pods; several mirrors that read them each in its own time, lose their watch and
list again; a reader that goes from one to another in the middle. Once it is quiet, what the reader
holds is what the API has.
"""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from podfence.kube.follow import Follow, Item, ObjectChange
from podfence.kube.resource import resources_of
from podfence.live.frames import Identities, Key, frame_of, line_of
from podfence.live.wire import ReadObject
from podfence.mirror.history import History, NoResume
from podfence.model.facts import NO_ADDRESS, PodFacts
from podfence.model.networkpolicy import Protocol
from podfence.model.objects import ContainerPort

LABELS = (b"", b'{"app":"web"}', b'{"app":"web","hash":"1"}', b'{\n"app": "\\u000a\xc3\xa9"}')
PORTS = ((), (ContainerPort("http", 80, Protocol.TCP),))


class Api:
    """Pods, and all that happened, with versions."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.version = 100
        self.pods: dict[Key, tuple[PodFacts, int]] = {}
        self.log: list[tuple[int, Key, PodFacts | None]] = []

    def step(self) -> None:
        """One event, of a pod or of something else."""
        self.version += self.rng.randrange(1, 4)
        namespace, name = self.rng.choice("ab"), f"p{self.rng.randrange(8)}"
        known = self.pods.get((namespace, name))
        match self.rng.randrange(6):
            case 0 | 1 if known:
                del self.pods[namespace, name]
                self.log.append((self.version, (namespace, name), None))
            case 2 if known:
                self._put(msgspec.structs.replace(known[0], deleting=True))
            case 3:
                pass
            case _:
                v4 = self.rng.choice((NO_ADDRESS, self.rng.randrange(1, 9)))
                v6 = self.rng.choice((NO_ADDRESS, (1 << 127) + self.rng.randrange(9)))
                labels, ports = self.rng.choice(LABELS), self.rng.choice(PORTS)
                node, seen = self.rng.choice(("n1", "n2")), self.rng.random() < 0.9
                self._put(PodFacts(namespace, name, labels, ports, v4, v6, node, False, seen))

    def _put(self, pod: PodFacts) -> None:
        self.pods[pod.namespace, pod.name] = pod, self.version
        self.log.append((self.version, (pod.namespace, pod.name), pod))

    def seen_by(self, node: str) -> dict[Key, PodFacts]:
        """What an agent has to know of the pods of other nodes."""
        return {
            key: msgspec.structs.replace(pod, node="", labels=_flat(pod.labels))
            for key, (pod, _) in self.pods.items()
            if pod.seen and pod.node != node and (pod.v4, pod.v6) != (NO_ADDRESS, NO_ADDRESS)
        }


def _flat(labels: bytes) -> bytes:
    return labels.replace(b"\n", b" ")


def reading(pod: PodFacts, version: int) -> ReadObject:
    return ReadObject(pod, "", str(version))


class Mirror:
    """A ``History`` behind the API, as far as it has come."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.history = History()
        self.at = -1
        self.held: set[Key] = set()
        self.list()

    def list(self) -> None:
        """All pods, in two pages."""
        items = [
            ObjectChange("Pod", *key, reading(pod, version), str(version))
            for key, (pod, version) in self.api.pods.items()
        ]
        gone = [ObjectChange[ReadObject]("Pod", *key, None) for key in self.held - {*self.api.pods}]
        self.held = {*self.api.pods}
        half = len(items) // 2
        self.history.take(items[:half], "")
        self.history.take(items[half:] + gone, str(self.api.version))
        self.at = self.api.version

    def read(self, most: int) -> None:
        """Some events, or a bookmark."""
        events = [e for e in self.api.log if e[0] > self.at][:most]
        for version, key, pod in events:
            (self.held.discard if pod is None else self.held.add)(key)
            data = None if pod is None else reading(pod, version)
            self.history.take([ObjectChange("Pod", *key, data, str(version))], str(version))
            self.at = version
        if not events:
            self.history.take([], str(self.api.version))
            self.at = self.api.version


class Agent:
    """Follows the pods of other nodes than ``n1``, wherever it is."""

    def __init__(self) -> None:
        self.follow = Follow[ReadObject](resources_of("Pod"))
        self.identities = Identities("n1")
        self.store: dict[Key, PodFacts] = {}
        self.mirror: Mirror | None = None
        self.number = 0
        self.expired = 0
        self.resumed = 0

    def attach(self, mirror: Mirror) -> None:
        """Go on at a mirror, from where it is; anew where that is not possible."""
        history = mirror.history
        found: int | NoResume = NoResume.EXPIRED
        if self.follow.version:
            found = history.resume(int(self.follow.version))
        if found is NoResume.AHEAD:
            return
        if isinstance(found, int):
            self.resumed += 1
            self.mirror, self.number = mirror, found
            return
        least = int(self.follow.version or 0)
        if not history.is_settled or history.version < least:
            return
        self.expired += 1
        self.identities.clear()
        first = True
        for frame in history.snapshot():
            told = frame_of(msgspec.Raw(_object(line_of(frame))))
            items = _items(self.identities.take(told)[0], told.version)
            self.apply(self.follow.listed(items, first=first, last=False, version=""))
            first = False
        end = str(history.version)
        self.apply(self.follow.listed((), first=first, last=True, version=end))
        self.mirror, self.number = mirror, history.next

    def read(self) -> None:
        """What the mirror has made."""
        if self.mirror is None:
            return
        history = self.mirror.history
        if self.number < history.first:
            self.mirror = None
            return
        for frame in [*history.since(self.number)]:
            told = frame_of(msgspec.Raw(_object(line_of(frame))))
            pods, gone = self.identities.take(told)
            self.apply(self.follow.became(_items(pods, told.version), gone, told.version))
        self.number = history.next

    def apply(self, changes: list[ObjectChange[ReadObject]]) -> None:
        for change in changes:
            if change.data is None:
                self.store.pop(change.key, None)
            else:
                assert isinstance(change.data.facts, PodFacts)
                self.store[change.key] = change.data.facts


def _object(line: bytes) -> bytes:
    assert line.count(b"\n") == 1
    return bytes(msgspec.json.decode(line, type=dict[str, msgspec.Raw])["object"])


def _items(pods: list[PodFacts], version: str) -> list[Item[ReadObject]]:
    return [Item(p.namespace, p.name, version, ReadObject(p, "", version)) for p in pods]


def day(seed: int) -> tuple[Api, Agent, list[Mirror]]:
    """Random events, failures and changes of mirror; then quiet."""
    rng = Random(seed)
    api = Api(rng)
    for _ in range(rng.randrange(12)):
        api.step()
    mirrors = [Mirror(api) for _ in range(3)]
    agent, now = Agent(), 0.0
    for _ in range(150):
        api.step()
        now += rng.random()
        mirror = rng.choice(mirrors)
        match rng.randrange(12):
            case 0:
                mirror.list()  # its watch was lost
            case 1:
                mirrors[rng.randrange(3)] = Mirror(api)  # another process
            case 2 | 3:
                agent.mirror = None
                agent.attach(mirror)
            case number if number < 7:
                mirror.read(rng.randrange(1, 6))
            case number if number < 10:
                mirror.history.cut(now)
            case _:
                agent.read()
        if agent.mirror is None:
            agent.attach(rng.choice(mirrors))
    for mirror in mirrors:
        mirror.read(10_000)
        mirror.read(1)
        mirror.history.cut(now)
    agent.read()
    if agent.mirror not in mirrors:  # what it followed is no more
        agent.mirror = None
        agent.attach(mirrors[0])
        agent.read()
    return api, agent, mirrors


@pytest.mark.parametrize("seed", range(150))
def test_who_goes_from_mirror_to_mirror_knows_in_the_end_what_the_api_has(seed: int) -> None:
    api, agent, mirrors = day(seed)
    assert agent.store == api.seen_by("n1")
    assert len(agent.identities) == mirrors[0].history.identities


def test_those_days_hold_all_that_may_happen() -> None:
    """Else the law would be easy."""
    agents = [day(seed)[1] for seed in range(20)]
    assert sum(agent.resumed for agent in agents) > 100
    assert sum(agent.expired for agent in agents) > 20
