"""Libraries imported without modules that they need only now and then (decision 16).

Rule: nothing behaves differently. An attribute of a module that was left out comes from the real
module, which is imported then; whoever imports it himself gets the real one.
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
    """Has what the module of its name has, and imports that when it is asked."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self.__name__), name)


class _InspectStandIn(_StandIn):
    """click cleans the help of every option when it is declared; one plain line is clean."""

    def cleandoc(self, doc: str) -> str:
        if "\n" in doc or "\t" in doc or doc[:1].isspace():
            return str(import_module("inspect").cleandoc(doc))
        return doc


class _PlatformStandIn(_StandIn):
    """uuid, which click imports, asks for the system's name alone."""

    def system(self) -> str:
        if hasattr(os, "uname"):
            return os.uname().sysname
        return str(import_module("platform").system())


_OF_THEIR_OWN = {"inspect": _InspectStandIn, "platform": _PlatformStandIn}


@contextmanager
def left_out(*names: str) -> Iterator[None]:
    """Modules that what is imported inside gets stand-ins of, but for those that are there."""
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
    """A package that what is imported inside does not find, though it is installed."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]  # what makes an import fail
    try:
        yield
    finally:
        del sys.modules[name]
