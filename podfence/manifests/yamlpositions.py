"""Positions of fields in a YAML node tree.

Rule: the same key that gives a field its value gives its position: the last of repeated keys and
merges, and of the sources of one merge the first.
"""

from __future__ import annotations

from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode

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


def span(root: Node, steps: FieldSteps, text: str) -> tuple[int, int]:
    """Offsets in the ``text`` of a tree where a field begins and ends, key and value; of one that
    does not exist, where the name of its nearest existing parent does: nothing for the root, which
    has none. The field of an alias is its key: what it means stands elsewhere."""
    name = node = root
    for step in steps:
        found = _below(node, step)
        if found is None:
            return _within(name, name, text) if name is not root else (0, 0)
        name, node = found
    return _within(name, node, text)


def _within(name: Node, value: Node, text: str) -> tuple[int, int]:
    start = int(name.start_mark.index)
    end = end_of(value, text)
    is_here = int(value.start_mark.index) >= start and end > start
    return start, end if is_here else end_of(name, text)


def end_of(node: Node, text: str) -> int:
    """Offset behind the last character of a node: marks of block collections reach up to the next
    token."""
    if isinstance(node, ScalarNode):
        end = int(node.end_mark.index)
        return len(text[:end].rstrip("\n")) if node.style in ("|", ">") else end
    if not isinstance(node, CollectionNode) or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of(last[1] if isinstance(node, MappingNode) else last, text)


def _below(node: Node, step: PathStep) -> tuple[Node, Node] | None:
    """The node that names a member (its key) or element, and the node of its value."""
    if type(node) is MappingNode:
        return _member(node, str(step))
    if type(node) is SequenceNode and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _member(mapping: MappingNode, key: str) -> tuple[Node, Node] | None:
    """The pair that gives ``key`` its value; every mapping is searched once."""
    seen: set[int] = set()
    waiting: list[tuple[Node, Node] | Node] = [mapping]
    while waiting:
        node = waiting.pop()
        if isinstance(node, tuple):
            return node
        if id(node) in seen:
            continue
        seen.add(id(node))
        if type(node) is SequenceNode:
            waiting += reversed(node.value)
        elif type(node) is MappingNode:
            for pair in node.value:
                if type(pair[0]) is ScalarNode and pair[0].value in (key, "<<"):
                    waiting.append(pair if pair[0].value == key else pair[1])
    return None
