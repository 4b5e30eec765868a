"""Credential plugins: real programs that answer well or badly."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from podfence.errors import ClusterError
from podfence.kube.access import Credential
from podfence.kube.execplugin import ExecPlugin, ExecSpec

V1 = "client.authentication.k8s.io/v1"


def answer(**status: Any) -> dict[str, Any]:
    return {"apiVersion": V1, "kind": "ExecCredential", "status": status}


def spec(code: str, **fields: Any) -> ExecSpec:
    return ExecSpec(
        **{"api_version": V1, "command": sys.executable, "args": ("-c", code), **fields}
    )


def saying(data: Any, **fields: Any) -> ExecSpec:
    text = data if isinstance(data, str) else json.dumps(data)
    return spec(f"print({text!r})", **fields)


def counting(folder: Path, expires: str) -> ExecSpec:
    """A plugin whose token counts its starts."""
    code = (
        "import json, pathlib; f = pathlib.Path(COUNT);"
        "n = len(f.read_text()) if f.exists() else 0;"
        "f.write_text('x' * (n + 1)); print(json.dumps({'apiVersion': V1, 'kind': 'ExecCredential',"
        "'status': {'token': f't{n}', 'expirationTimestamp': EXPIRES}}))"
    )
    values = f"COUNT={str(folder / 'count')!r}; V1={V1!r}; EXPIRES={expires!r};"
    return spec(values + code)


def in_time(delta: timedelta) -> str:
    return (datetime.now(UTC) + delta).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_token_is_used() -> None:
    assert ExecPlugin(saying(answer(token="abc"))).get() == Credential("abc")


def test_a_certificate_is_used() -> None:
    made = saying(answer(clientCertificateData="CERT", clientKeyData="KEY"))
    assert ExecPlugin(made).get() == Credential("", None, b"CERT", b"KEY")


def test_an_answer_is_kept_until_it_expires(tmp_path: Path) -> None:
    plugin = ExecPlugin(counting(tmp_path, in_time(timedelta(hours=1))))
    assert [plugin.get().token, plugin.get().token] == ["t0", "t0"]


def test_an_answer_that_is_about_to_expire_is_made_anew(tmp_path: Path) -> None:
    plugin = ExecPlugin(counting(tmp_path, in_time(timedelta(seconds=3))))
    assert [plugin.get().token, plugin.get().token] == ["t0", "t1"]


def test_a_refused_answer_is_made_anew(tmp_path: Path) -> None:
    plugin = ExecPlugin(counting(tmp_path, in_time(timedelta(hours=1))))
    plugin.get()
    assert plugin.refused()
    assert plugin.get().token == "t1"


def test_the_program_is_told_of_the_cluster_and_gets_its_variables() -> None:
    code = (
        "import json, os; i = json.loads(os.environ['KUBERNETES_EXEC_INFO']);"
        "token = i['spec']['cluster']['server'] + os.environ['A'];"
        "print(json.dumps({**i, 'status': {'token': token}}))"
    )
    made = spec(code, cluster={"server": "https://a"}, environment={"A": "-b"})
    assert ExecPlugin(made).get().token == "https://a-b"


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (spec("import sys; sys.exit(3)"), "failed with status 3"),
        (saying("not json"), "is not JSON"),
        (saying([1]), "not an ExecCredential"),
        (saying({**answer(token="a"), "apiVersion": "x"}), "must answer with an ExecCredential of"),
        (saying({**answer(), "status": None}), "has no status"),
        (saying(answer()), "neither a token nor a client certificate"),
        (saying(answer(token=5)), "status.token of its answer is not text"),
        (saying(answer(clientCertificateData="a")), "needs both"),
        (
            saying(answer(token="a", expirationTimestamp="soon")),
            "expirationTimestamp .* not a time",
        ),
        (
            saying(answer(token="a"), api_version="client.authentication.k8s.io/v1alpha1"),
            "is unknown",
        ),
        (saying(answer(token="a"), interactive_mode="Always"), "needs a terminal"),
        (ExecSpec(V1, "no-such-program", install_hint="get it"), "no such program; get it"),
    ],
)
def test_a_bad_plugin_is_named(made: ExecSpec, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        ExecPlugin(made).get()


def test_what_a_program_prints_is_not_shown() -> None:
    with pytest.raises(ClusterError) as caught:
        ExecPlugin(saying("hush")).get()
    assert "hush" not in caught.value.message
