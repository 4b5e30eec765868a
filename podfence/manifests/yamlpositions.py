"""Places of fields in a YAML node tree.

Rule: the same key that gives a field its value gives its place: the last of repeated keys, an
explicit one before a merged one.
"""

from __future__ import annotations

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from podfence.manifests.fieldpaths import FieldSteps, PathStep


def find(root: Node, steps: FieldSteps) -> tuple[int, int]:
    """Line and column, from 0, of the field or of its nearest existing parent."""
    mark, node = root.start_mark, root
    for step in steps:
        found = _below(node, step)
        if found is None:
            break
        mark, node = found[0].start_mark, found[1]
    return mark.line, mark.column


def _below(node: Node, step: PathStep) -> tuple[Node, Node] | None:
    """The node that names a member (its key) or element, and the node of its value."""
    if type(node) is MappingNode:
        return _member(node, str(step))
    if type(node) is SequenceNode and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _member(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    """The pair that gives ``key`` its value; merged mappings are searched in order, once each."""
    seen: set[int] = set()
    waiting: list[Node] = [mapping]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if type(node) is SequenceNode:
            waiting += reversed(node.value)
        elif type(node) is MappingNode:
            own = [(k, v) for k, v in node.value if type(k) is ScalarNode and k.value == key]
            if own:
                return own[-1]
            waiting += reversed([v for k, v in node.value if k.value == "<<"])
    return None
