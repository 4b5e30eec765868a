"""Controls of security frameworks that findings relate to, as tags of SARIF rules.

Rule: a control is listed for a code only if the control asks for a cluster without such findings.
Most findings are about policies that do not do what they say; no control asks for that.
"""

from __future__ import annotations

from collections.abc import Mapping

CONTROLS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    # CIS Kubernetes Benchmark, "Ensure that all Namespaces have Network Policies defined".
    "cis": {"PF350": ("CIS-Kubernetes-5.3.2",), "PF351": ("CIS-Kubernetes-5.3.2",)},
    # Kubernetes Hardening Guidance of NSA and CISA. Its sections have names and no numbers.
    "nsa": {
        "PF350": ("NSA-CISA/Network-separation-and-hardening",),
        "PF351": ("NSA-CISA/Network-separation-and-hardening",),
    },
    # Of regolibrary: C-0030 "Ingress and Egress blocked", C-0049 "Network mapping", C-0052
    # "Instance Metadata API", C-0054 "Cluster internal networking", C-0260 "Missing network
    # policy".
    "kubescape": {
        "PF350": (
            "kubescape/C-0030",
            "kubescape/C-0049",
            "kubescape/C-0054",
            "kubescape/C-0260",
        ),
        "PF351": ("kubescape/C-0030",),
        "PF353": ("kubescape/C-0052",),
    },
}
"""Tags by code, by whose they are. Code scanning keeps ten of a rule."""


def tags_of(code: str, frameworks: tuple[str, ...]) -> list[str]:
    """The tags of a code, each once."""
    return list(dict.fromkeys(tag for each in frameworks for tag in CONTROLS[each].get(code, ())))
