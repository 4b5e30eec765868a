"""What ``podfence lab up --api`` refuses before anything is started."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from podfence.lab.api.session import ApiSession
from podfence.lab.messages import Status
from podfence.lab.replies import NotSent, RulePositions, WhyReply
from podfence.questions.why import WhyAnswer
from tests.cli.session import podfence


@pytest.fixture(autouse=True)
def nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A runtime directory of the test's own, and no programs."""
    (tmp_path / "run").mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path / "nowhere"))
    monkeypatch.delenv("PODFENCE_APISERVER_ASSETS", raising=False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--api", "-f", "examples/shop"], "use kubectl apply -f"),
        (["--api", "--context", "prod"], "drop --context"),
        (["--api", "--kubeconfig", "file"], "drop --context, --kubeconfig"),
        (["--api", "--resolve", "names"], "drop --resolve"),
        (["--api-programs", ".", "-f", "examples/shop"], "goes with --api"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], said: str) -> None:
    done = podfence(["lab", "up", *arguments])
    assert done.status == 2
    assert said in " ".join(done.err.split())


def test_missing_programs_are_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    done = podfence(["lab", "up", "--api"])
    assert (done.status, done.out) == (2, "")
    assert "nowhere ($KUBEBUILDER_ASSETS) holds no etcd and no kube-apiserver" in done.err
    assert "--api-programs DIR" in done.err
    assert [p for p in (tmp_path / "run").rglob("*") if not p.is_dir()] == []


@pytest.mark.parametrize(
    ("answers", "asked", "last"),
    [([True], 1, True), ([False, False, True], 3, True), ([False] * 9, 4, False)],
)
def test_packets_that_differ_are_sent_again_a_few_times(
    monkeypatch: pytest.MonkeyPatch, answers: list[bool], asked: int, last: bool
) -> None:
    """Agents hear of a change when the lab does, and need a moment to write it."""
    monkeypatch.setattr("podfence.lab.api.session.sleep", lambda _: None)
    replies = iter(answers)
    told: list[object] = []

    def ask(self: ApiSession, message: object) -> WhyReply:
        told.append(message)
        return explained(agrees=next(replies))

    monkeypatch.setattr(ApiSession, "_ask", ask)
    session = ApiSession.__new__(ApiSession)
    reply = session.do(Status())
    assert isinstance(reply, WhyReply)
    assert (reply.agrees, len(told)) == (last, asked)


def explained(*, agrees: bool) -> WhyReply:
    """Of no question in particular."""
    return WhyReply(cast("WhyAnswer", None), RulePositions({}), NotSent(""), agrees)
