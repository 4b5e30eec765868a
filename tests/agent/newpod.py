"""A pod that starts, and addresses."""

from __future__ import annotations

from ipaddress import ip_address

from podfence.model.facts import PodFacts

A, B = int(ip_address("10.1.0.1")), int(ip_address("10.1.0.2"))
NEW = PodFacts("shop", "web", b'{"app":"web"}', node="n1")
