"""Kubeconfig files as kubectl reads them."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from podfence.errors import ClusterError
from podfence.kube.access import Access
from podfence.kube.execplugin import ExecPlugin
from podfence.kube.kubeconfig import Kubeconfig, find_files, read_kubeconfig

CLUSTER = {"name": "c", "cluster": {"server": "https://api.example:6443"}}
USER = {"name": "u", "user": {"token": "secret"}}
CONTEXT = {"name": "x", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}


def config(**sections: Any) -> dict[str, Any]:
    base = {"current-context": "x", "clusters": [CLUSTER], "users": [USER], "contexts": [CONTEXT]}
    return {**base, **sections}


def write(folder: Path, data: Any, name: str = "config") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(data if isinstance(data, str) else yaml.safe_dump(data), encoding="utf-8")
    return file


def read(*files: Path) -> Kubeconfig:
    found = read_kubeconfig(files)
    assert found is not None
    return found


def access(folder: Path, data: Any) -> Access:
    return read(write(folder, data)).access()


def with_user(**user: Any) -> dict[str, Any]:
    return config(users=[{"name": "u", "user": user}])


def with_cluster(**cluster: Any) -> dict[str, Any]:
    return config(clusters=[{"name": "c", "cluster": cluster}])


def test_the_current_context_names_server_user_and_namespace(tmp_path: Path) -> None:
    found = access(tmp_path, config())
    assert (found.name, found.server.url, found.namespace) == (
        "x",
        "https://api.example:6443",
        "shop",
    )
    assert found.credentials.get().token == "secret"


def test_a_context_is_chosen_by_name(tmp_path: Path) -> None:
    other = {"name": "y", "context": {"cluster": "c", "user": "u"}}
    file = write(tmp_path, config(contexts=[CONTEXT, other]))
    assert read(file).access("y").namespace == "default"


def test_of_several_files_the_first_that_names_a_thing_wins(tmp_path: Path) -> None:
    first = write(
        tmp_path, {"clusters": [{"name": "c", "cluster": {"server": "https://one"}}]}, "1"
    )
    second = write(tmp_path, config(), "2")
    missing = tmp_path / "3"
    assert read(first, missing, second).access().server.url == "https://one"


def test_files_are_found_as_kubectl_finds_them() -> None:
    environment = {"KUBECONFIG": f"a{os.pathsep}{os.pathsep}b", "HOME": "/h"}
    assert find_files("mine", environment) == (Path("mine"),)
    assert find_files(None, environment) == (Path("a"), Path("b"))
    assert find_files(None, {"HOME": "/h"}) == (Path("/h/.kube/config"),)
    assert find_files(None, {}) == ()


def test_no_file_at_all_is_none_unless_it_was_named(tmp_path: Path) -> None:
    assert read_kubeconfig([tmp_path / "none"]) is None
    with pytest.raises(ClusterError, match="there is no such file"):
        read_kubeconfig([tmp_path / "none"], must_exist=True)


def test_paths_are_relative_to_their_file(tmp_path: Path) -> None:
    write(tmp_path, "PEM", "deep/ca.crt")
    file = write(
        tmp_path,
        with_cluster(server="https://a", **{"certificate-authority": "ca.crt"}),
        "deep/config",
    )
    assert read(file).access().server.ca == b"PEM"


def test_data_win_over_a_file(tmp_path: Path) -> None:
    data = base64.b64encode(b"inline").decode()
    cluster = {"certificate-authority": "missing", "certificate-authority-data": data}
    assert access(tmp_path, with_cluster(server="https://a", **cluster)).server.ca == b"inline"


def test_tls_name_and_proxy_are_kept(tmp_path: Path) -> None:
    extra = {"tls-server-name": "kubernetes", "proxy-url": "http://proxy:3128"}
    server = access(tmp_path, with_cluster(server="https://a", **extra)).server
    assert (server.tls_server_name, server.proxy_url) == ("kubernetes", "http://proxy:3128")


def test_a_token_file_is_read_when_it_is_needed_and_again_after_a_refusal(tmp_path: Path) -> None:
    token = write(tmp_path, "one\n", "token")
    credentials = access(tmp_path, with_user(tokenFile="token")).credentials
    assert credentials.get().token == "one"
    token.write_text("two", encoding="ascii")
    assert credentials.get().token == "one"
    assert credentials.refused()
    assert credentials.get().token == "two"


def test_a_certificate_goes_with_a_token(tmp_path: Path) -> None:
    pem = base64.b64encode(b"PEM").decode()
    user = {"token": "t", "client-certificate-data": pem, "client-key-data": pem}
    credential = access(tmp_path, with_user(**user)).credentials.get()
    assert (credential.token, credential.certificate, credential.key) == ("t", b"PEM", b"PEM")


def test_impersonation_becomes_headers(tmp_path: Path) -> None:
    user = {"as": "jane", "as-groups": ["a", "b"], "as-user-extra": {"acme.com/x": ["1"]}}
    assert access(tmp_path, with_user(**user)).impersonate == {
        "Impersonate-User": ("jane",),
        "Impersonate-Group": ("a", "b"),
        "Impersonate-Extra-acme.com%2Fx": ("1",),
    }


def test_a_plugin_with_a_slash_in_its_name_lies_beside_the_file(tmp_path: Path) -> None:
    spec = {"apiVersion": "client.authentication.k8s.io/v1", "command": "./bin/login"}
    credentials = access(tmp_path, with_user(exec=spec)).credentials
    assert isinstance(credentials, ExecPlugin)
    assert Path(credentials.spec.command) == tmp_path / "bin" / "login"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (config(**{"current-context": ""}), "no current context is set .* there are: x"),
        (config(**{"current-context": "z"}), "there is no context 'z'"),
        (config(clusters=[]), r"contexts\[0\].context.cluster: there is no cluster 'c'"),
        (config(users=[]), r"contexts\[0\].context.user: there is no user 'u'"),
        (config(contexts={"x": 1}), "contexts: a list is expected"),
        (config(users=[{"user": {}}]), r"users\[0\].name: an entry needs a name"),
        (with_cluster(server="api:6443"), "clusters.*server: an address such as https"),
        (with_cluster(server=5), "server: text is expected"),
        (
            with_cluster(server="https://a", **{"certificate-authority-data": "&&"}),
            "certificate-authority-data: it is not base64",
        ),
        (
            with_cluster(server="https://a", **{"certificate-authority": "gone"}),
            "gone cannot be read: No such file",
        ),
        (with_user(tokenFile="gone"), None),
        (
            with_user(**{"client-key-data": "UEVN"}),
            "client-certificate: a client certificate needs",
        ),
        (with_user(**{"auth-provider": {"name": "gcp"}}), "auth-provider was removed"),
        (with_user(exec={"apiVersion": "v1"}), "exec.command: a program is expected"),
        (with_user(**{"as-groups": ["a"]}), "impersonation of groups"),
        ("a: [", r"config:\d+:\d+: this is not valid YAML"),
        ("- a", "a kubeconfig is a mapping"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path: Path, data: Any, said: str | None) -> None:
    if said is None:
        with pytest.raises(ClusterError, match="gone: No such file"):
            access(tmp_path, data).credentials.get()
        return
    with pytest.raises(ClusterError, match=said):
        access(tmp_path, data)


def test_no_message_shows_a_secret(tmp_path: Path) -> None:
    user = {"token": "hush", "as-groups": ["a"]}
    with pytest.raises(ClusterError) as caught:
        access(tmp_path, with_user(**user))
    assert "hush" not in caught.value.message


@pytest.mark.parametrize(
    "server",
    [
        "https://",
        "https://[::1",
        "https://a:b",
        "https://a b",
        "https://a/\u00e4",
        "https://a\n",
        "a:6443",
    ],
)
def test_an_address_that_nobody_can_ask_is_an_error(tmp_path: Path, server: str) -> None:
    with pytest.raises(ClusterError, match=r"clusters\[0\].cluster.server: an address such as"):
        access(tmp_path, with_cluster(server=server))


def test_a_name_that_no_header_can_carry_is_an_error(tmp_path: Path) -> None:
    user = with_user(**{"as": "jane\r\nX-Evil: 1"})
    with pytest.raises(ClusterError, match="a header cannot carry"):
        access(tmp_path, user)
