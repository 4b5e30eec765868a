"""One API server for the session, and a fresh namespace for a test."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import yaml

from tests.apiserver.build import KUBERNETES, assets, crd_file
from tests.apiserver.client import Client
from tests.apiserver.crds import Crds
from tests.apiserver.server import ApiServer, running
from tests.support.golang import Unavailable

_numbers = count(1)


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """The server; a test that restarts it does so at the same address."""
    with running(assets()) as server:
        yield server


@pytest.fixture(scope="session")
def newest(apiserver: ApiServer) -> ApiServer:
    """The same where its texts are those that podfence has; ready-made programs may be others."""
    with apiserver.admin as admin:
        found = admin.request("GET", "/version").body["gitVersion"]
    if found.split(".")[:2] != KUBERNETES.split(".")[:2]:
        pytest.skip(f"API server tests cannot run: {found} has other texts than {KUBERNETES}")
    return apiserver


@pytest.fixture
def admin(apiserver: ApiServer) -> Iterator[Client]:
    with apiserver.admin as client:
        yield client


@pytest.fixture
def namespace(admin: Client) -> str:
    """A namespace of the test's own: without a controller manager none ever goes away."""
    name = f"test-{next(_numbers)}"
    admin.create("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


@pytest.fixture
def kubeconfig(apiserver: ApiServer, tmp_path: Path) -> Path:
    """A kubeconfig of the administrator."""
    return apiserver.kubeconfig(tmp_path / "kubeconfig")


@pytest.fixture(scope="session")
def crds(newest: ApiServer) -> Iterator[Crds]:
    """The kinds of the cluster tiers; a test says which channel is to be installed."""
    try:
        texts = {name: crd_file(name).read_text("utf-8") for name in ("standard", "experimental")}
    except Unavailable as error:
        pytest.skip(f"API server tests cannot run: {error}")
    with newest.admin as admin:
        yield Crds(admin, {name: yaml.safe_load(text) for name, text in texts.items()})
