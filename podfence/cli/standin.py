"""Libraries imported without modules that they rarely need (decision 16).

Rule: behaviour does not change. An attribute of a left-out module comes from the real module, which
is then imported; code that imports the module itself gets the real one.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any


class _StandIn(ModuleType):
    """Has the attributes of the module of its name, and imports that on first use."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


class _InspectStandIn(_StandIn):
    """click cleans the help of every option when it is declared; a plain line is clean already."""

    def cleandoc(self, doc: str) -> str:
        if "\n" in doc or "\t" in doc or doc[:1].isspace():
            return str(import_module("inspect").cleandoc(doc))
        return doc


class _PlatformStandIn(_StandIn):
    """uuid, which click imports, asks only for the name of the system."""

    def system(self) -> str:
        if hasattr(os, "uname"):
            return os.uname().sysname
        return str(import_module("platform").system())


_OF_THEIR_OWN = {"inspect": _InspectStandIn, "platform": _PlatformStandIn}


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Within the context, imported code gets stand-ins for these modules, unless they are loaded
    already."""
    made = {name: _made(name) for name in names if name not in sys.modules}
    sys.modules.update(made)
    try:
        yield
    finally:
        for name, module in made.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def _made(name: str) -> ModuleType:
    return _OF_THEIR_OWN.get(name, _StandIn)(name)


@contextmanager
def without(name: str) -> Iterator[None]:
    """Within the context, imported code does not find this package, even if it is installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        yield
    finally:
        del sys.modules[name]
