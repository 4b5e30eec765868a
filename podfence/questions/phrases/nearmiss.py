"""How closely a rule misses a flow, in words.

Rule: one wording for every reader (``why``, ``drops``). Peers are named by their field paths, ports
by numbers, so nothing needs escaping.
"""

from __future__ import annotations

from collections.abc import Sequence

from podfence.sets import PortSet


def near_miss(path: str, peer_paths: Sequence[str], ports: PortSet, *, port_fits: bool) -> str:
    """What of an accepting rule fits and what does not; "" where neither does. ``path``: of the
    rule; ``peer_paths``: of the peers that fit, the rule's own where it has no peers."""
    if peer_paths and not port_fits:
        peers = "everyone" if tuple(peer_paths) == (path,) else ", ".join(peer_paths)
        only = f"only {ports}" if ports else "no port"
        return f"near miss: the peer fits ({peers}), but it allows {only}"
    if peer_paths:
        return f"near miss: the peer fits, but not on this port ({', '.join(peer_paths)})"
    if port_fits:
        return f"near miss: the port fits ({ports}), but no peer does"
    return ""
