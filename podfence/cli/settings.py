"""``podfence.toml``: the settings of a repository.

Rule: the file is looked for from the working directory up to the root of the repository. An unknown
key is an error, so that a misspelt key cannot go unnoticed.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from msgspec import Struct, field

from podfence.errors import PodfenceError, Severity
from podfence.model.entries import Controllers
from podfence.model.meta import Labels
from podfence.questions.lint.surroundings import UNTOLD, ClusterDns
from podfence.questions.tenants import Tenants
from podfence.sets.addresses import IPAddress, IPNetwork

if TYPE_CHECKING:
    pass

NAME = "podfence.toml"
F = TypeVar("F", bound=Callable[..., Any])


class ClusterSettings(Struct, frozen=True):
    """``[cluster]``: facts about the cluster that manifests do not contain. ``controllers``: the
    pods that serve entries."""

    controllers: Controllers = Controllers()
    api_server: tuple[IPAddress, ...] = ()
    tenant_label: str = ""
    plugin: str = ""
    pod_cidrs: tuple[IPNetwork, ...] = ()
    service_cidrs: tuple[IPNetwork, ...] = ()
    dns: ClusterDns = UNTOLD


class PlanSettings(Struct, frozen=True):
    """``[plan]``: the values of ``--fail-on`` and ``--flows``. Paths are relative to the working
    directory."""

    fail_on: str = ""
    flows: tuple[str, ...] = ()


class TestSettings(Struct, frozen=True):
    """``[test]``: the test files, and the minimum of ``--touched`` and ``--score``. Paths are as in
    ``PlanSettings``."""

    __test__ = False

    files: tuple[str, ...] = ()
    touched: float | None = None
    score: float | None = None


class Settings(Struct, frozen=True):
    """``[check]``: the severity from which it fails, codes (or their beginnings) to leave out,
    codes with another severity, and codes to leave out for some files. ``file``: where it was read,
    "" where there is none."""

    file: str = ""
    fail_on: str = ""
    ignore: tuple[str, ...] = ()
    severity: Mapping[str, Severity] = {}
    paths: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def ignored_in(self, file: str, code: str) -> bool:
        """Whether a code is left out for a file; never for what is in none."""
        if not self.paths or not file:
            return False
        path = os.path.relpath(file, Path(self.file).parent)
        return any(fnmatch(path, each) and code.startswith(c) for each, c in self.paths.items())

    cluster: ClusterSettings = ClusterSettings()
    shared: frozenset[str] = frozenset()
    """Namespaces that every tenant may reach."""
    shared_labels: tuple[Labels, ...] = ()
    """More of them, by labels."""
    metadata_allowed: frozenset[str] = frozenset()
    """Namespaces whose pods may reach the metadata service of a cloud."""
    is_partial: bool = False
    """``[input] partial``: the cluster has pods and namespaces that no file holds."""
    plan: PlanSettings = PlanSettings()
    test: TestSettings = TestSettings()

    @property
    def tenants(self) -> Tenants:
        """Who is not to meet whom."""
        return Tenants(self.cluster.tenant_label, self.shared, self.shared_labels)


NO_SETTINGS = Settings()


def settings_options(function: F) -> F:
    """``--config`` and ``--no-config``, as ``read_settings`` takes them."""
    given = click.option("--config", metavar="FILE", help=f"Use this file instead of {NAME}.")
    none = click.option("--no-config", is_flag=True, help=f"Do not look for {NAME}.")
    return given(none(function))


def read_settings(given: str | None, *, none: bool) -> Settings:
    """The file of ``--config``, else the nearest ``podfence.toml``; empty with ``--no-config``.
    Raises PodfenceError for a file that cannot be used."""
    if none:
        if given is not None:
            raise click.UsageError("--config and --no-config exclude each other")
        return NO_SETTINGS
    from podfence.cli.settings_reader import SettingsReader

    path = Path(given) if given is not None else _nearest()
    if path is None:
        return NO_SETTINGS
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise PodfenceError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise PodfenceError(f"{path}: {error}") from error
    return SettingsReader(str(path)).settings(data)


def _nearest() -> Path | None:
    """The nearest file, relative to the working directory."""
    here = Path.cwd()
    for up, each in enumerate((here, *here.parents)):
        if os.path.lexists(each / NAME):  # a link to nothing is an error, as any other fault is
            return Path(*[".."] * up, NAME)
        if (each / ".git").exists():
            return None
    return None
