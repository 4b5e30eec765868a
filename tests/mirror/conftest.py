"""The node of the agent's tests, for those with a mirror between it and a real API server."""

from __future__ import annotations

from tests.agent.conftest import (
    admin,
    apiserver,
    cluster,
    crds,
    here,
    kubeconfig,
    namespace,
    newest,
)

__all__ = ["admin", "apiserver", "cluster", "crds", "here", "kubeconfig", "namespace", "newest"]
