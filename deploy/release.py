"""What a release is made of, and whether it may be made: ``python -m deploy.release``.

    check TAG                                  every file that names a version names this one
    build DIR --home URL --revision TAG        wheel, sources, chart, krew plugin and notes

Rule: the sources know no address of their own. Where they live is known when a release is made, and
is written into a copy: the package's links, and its page, whose links must be whole there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from deploy import krew
from deploy.links import ROOT, rewritten

CHART = "deploy/chart"
VERSION_FILES = {
    "pyproject.toml": r'^version = "([^"]+)"$',
    "podfence/_version.py": r'^__version__ = "([^"]+)"$',
    f"{CHART}/Chart.yaml": r"^(?:version|appVersion): (\S+)$",
    "deploy/install.yaml": r"^\s+image: podfence/podfence:(\S+)$",
    "deploy/cleanup.yaml": r"^\s+image: podfence/podfence:(\S+)$",
}
"""File -> what in it names the version of podfence."""

BUILD = "import sys, uv_build; getattr(uv_build, sys.argv[1])(sys.argv[2])"


def mistakes(tag: str, root: Path = ROOT) -> list[str]:
    """Why there can be no release of this tag, a line each."""
    version = tag.removeprefix("v")
    found = []
    if not re.fullmatch(r"v\d+\.\d+\.\d+((a|b|rc)\d+)?", tag):
        found.append(f"the tag {tag} is no version such as v1.2.3")
    for name, pattern in VERSION_FILES.items():
        named = re.findall(pattern, (root / name).read_text(encoding="utf-8"), re.MULTILINE)
        if not named:
            found.append(f"{name} names no version")
        found += [f"{name} says {other}, not {version}" for other in named if other != version]
    if not notes(version, root):
        found.append(f"CHANGELOG.md has no section [{version}], or nothing in it")
    return found


def notes(version: str, root: Path = ROOT) -> str:
    """What the changelog says of a version; nothing where it says nothing."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    section = re.search(rf"^## \[{re.escape(version)}\].*\n((?:(?!## ).*\n?)*)", text, re.MULTILINE)
    return section[1].strip() if section else ""


def sources(into: Path, home: str, revision: str) -> None:
    """A copy of the tracked files that knows where they live."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    for name in filter(None, listed.stdout.decode().split("\0")):
        target = into / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    pages = f"{home}/blob/{revision}"
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    whole = rewritten(readme, "README.md", lambda words, path, at: f"[{words}]({pages}/{path}{at})")
    (into / "README.md").write_text(whole, encoding="utf-8")
    addresses = {
        "Homepage": home,
        "Documentation": f"{pages}/README.md",
        "Changelog": f"{pages}/CHANGELOG.md",
        "Issues": f"{home}/issues",
    }
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    # JSON's strings are TOML's.
    urls = "".join(f"{name} = {json.dumps(url)}\n" for name, url in addresses.items())
    marker = "[project.scripts]\n"
    assert project.count(marker) == 1
    project = project.replace(marker, f"[project.urls]\n{urls}\n{marker}")
    (into / "pyproject.toml").write_text(project, encoding="utf-8")


def build(folder: Path, home: str, revision: str) -> None:
    """Write the files of a release into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    # The back end looks for its own program on PATH.
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    version = revision.removeprefix("v")
    with tempfile.TemporaryDirectory(prefix="podfence-release-") as name:
        copy = Path(name)
        sources(copy, home, revision)
        for hook in ("build_sdist", "build_wheel"):
            subprocess.run(
                [sys.executable, "-c", BUILD, hook, str(folder.resolve())],
                cwd=copy,
                env={**os.environ, "PATH": programs},
                stdout=subprocess.DEVNULL,
                check=True,
            )
    with tarfile.open(folder / f"podfence-chart-{version}.tgz", "w:gz") as chart:
        chart.add(ROOT / CHART, arcname="podfence")
    krew.write(folder, home, revision)
    (folder / "NOTES.md").write_text(notes(version) + "\n", encoding="utf-8")


def main() -> int:
    """Exit status 0, or 1 when there can be no release."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="whether this tag can be released")
    check.add_argument("tag")
    made = commands.add_parser("build", help="wheel, sources, chart, krew plugin and notes")
    made.add_argument("folder", type=Path)
    made.add_argument(
        "--home", required=True, help="where the sources live, https://HOST/OWNER/NAME"
    )
    made.add_argument("--revision", required=True, help="the tag, for links to files")
    given = parser.parse_args()
    if given.command == "build":
        build(given.folder, given.home.rstrip("/"), given.revision)
        return 0
    found = mistakes(given.tag)
    for line in found:
        print(f"release: {line}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
