"""The version, as a plain constant: ``podfence --version`` must not read package metadata."""

from __future__ import annotations

__version__ = "0.1.0"
