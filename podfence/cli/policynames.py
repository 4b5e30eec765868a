"""The words of a command line that name policies."""

from __future__ import annotations

from podfence.errors import UnknownObject
from podfence.likeness import likeness, similar
from podfence.manifests.load import Loaded
from podfence.model.cluster import Policy
from podfence.model.kindnames import kind_called
from podfence.model.meta import ObjectRef
from podfence.questions.phrases.tierwords import policy_name
from podfence.questions.phrases.words import some

SHOWN_NEAR = 3
SHOWN_POLICIES = 10


def wanted_policies(loaded: Loaded, name: str | None, namespace: str | None) -> list[Policy]:
    """The policies that are meant, all without a name; none when nothing but a pod can be.

    Raises UnknownObject for a name that several policies have.
    """
    policies: list[Policy] = [
        *loaded.cluster.policies,
        *loaded.cluster.admin_policies,
        *loaded.cluster.audited,
    ]
    if name is None:
        found = [p for p in policies if namespace in (None, p.ref.namespace)]
        if not found:
            where = f"namespace {namespace!r}" if namespace else "the input"
            raise UnknownObject(f"there is no policy in {where}")
        return found
    found = [p for p in policies if is_called(p.ref, name, namespace)]
    if len(found) < 2:
        return found
    several = ", ".join(policy_name(p.ref) for p in found)
    where = "is in several namespaces" if all(p.ref.namespace for p in found) else "is several"
    raise UnknownObject(f"{name!r} {where}: {several}; use NAMESPACE/NAME or KIND/NAME")


def no_policy(loaded: Loaded, name: str) -> UnknownObject:
    """That no policy is called so; with names that are like it, or else with those that there
    are."""
    whole = loaded.cluster.with_audited()
    policies: list[Policy] = [*whole.policies, *whole.admin_policies]
    known = [policy_name(each.ref) for each in policies]
    last = name.rpartition("/")[2]
    near = [full for full in known if similar(last, [full.rpartition("/")[2]])]
    near.sort(key=lambda full: -likeness(name, full))
    if near:
        hint = f"did you mean {some(near[:SHOWN_NEAR], SHOWN_NEAR, ' or ')}?"
    else:
        hint = f"the policies are: {some(known, SHOWN_POLICIES) or 'none'}"
    return UnknownObject(f"no policy is called {name!r}; {hint}")


def is_called(ref: ObjectRef, name: str, namespace: str | None) -> bool:
    """``NAME``, ``KIND/NAME``, ``NAMESPACE/NAME`` or ``NAMESPACE/KIND/NAME``. ``-n`` is for names
    without a namespace; policies of the whole cluster have none."""
    if ref.namespace and str(ref) == name:
        return True
    *outer, last = name.split("/")
    if outer and kind_called(outer.pop()) != ref.kind:
        return False
    wanted = outer[0] if outer else namespace
    if len(outer) > 1 or (outer and not ref.namespace):
        return False
    return ref.name == last and (wanted is None or ref.namespace in ("", wanted))
