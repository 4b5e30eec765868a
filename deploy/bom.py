"""The bill of materials of the image: what is in it, as CycloneDX has it.

Rule: it is read from the files of the image, and not from what was asked for. The same files give
the same bytes: there is no time and no number of a run in it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path
from urllib.parse import quote

Component = dict[str, object]


def bill(root: Path, site: str, version: str, distribution: str) -> bytes:
    """Of the file system ``root``. ``site``: where the Python packages lie in it; ``version``: of
    podfence; ``distribution``: whose packages the others are, such as ``debian``."""
    whole = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "container",
                "bom-ref": "podfence",
                "name": "podfence",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": [
            *_system_packages(root / "var/lib/dpkg/status.d", distribution),
            *_python_packages(root / site),
        ],
    }
    return json.dumps(whole, indent=1, sort_keys=True).encode() + b"\n"


def _system_packages(folder: Path, distribution: str) -> Iterator[Component]:
    for file in sorted(folder.iterdir()):
        told = HeaderParser().parsestr(file.read_text(encoding="utf-8"))
        name, version = told["Package"], told["Version"]
        where = f"?arch={quote(told['Architecture'])}"
        yield _component(f"pkg:deb/{distribution}", name, version, where)


def _python_packages(folder: Path) -> Iterator[Component]:
    for file in sorted(folder.glob("*.dist-info/METADATA")):
        told = HeaderParser().parsestr(file.read_text(encoding="utf-8"))
        name = told["Name"].lower().replace("_", "-").replace(".", "-")
        yield _component("pkg:pypi", name, told["Version"], "")


def _component(kind: str, name: str, version: str, where: str) -> Component:
    # Package URLs keep the tilde; a plus of a Debian version is escaped.
    purl = f"{kind}/{quote(name, '')}@{quote(version, '')}{where}"
    return {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}


def distribution() -> str:
    """The distribution of this machine, whose packages apt brings."""
    told = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    named = dict(line.split("=", 1) for line in told if "=" in line)
    return named.get("ID", "debian").strip('"')
