"""``./dev cluster``: a cluster of real nodes on this machine, up, down, and commands in it."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from tests.cluster import build, cluster, layout, scores, suites


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev cluster", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the programs; exit status 3 where they cannot be had")
    up = commands.add_parser("up", help="start a cluster; it stays until: ./dev cluster down")
    up.add_argument("--nodes", type=int, default=2, choices=range(1, layout.MOST_NODES + 1))
    commands.add_parser("down", help="end it, and remove whatever one has left")
    commands.add_parser("kubectl", help="kubectl as its administrator: kubectl WORDS")
    inside = commands.add_parser("run", help="a command in the namespaces of a node: run 1 WORDS")
    inside.add_argument("node", type=int)
    score = commands.add_parser("score", help="run the suites of others, write docs/scores")
    score.add_argument("enforcer", choices=sorted(scores.ENFORCERS))
    score.add_argument("suites", nargs="*", choices=[*scores.SUITES, []])
    # What comes after these is theirs, options included.
    taken = {"kubectl": 1, "run": 2}.get(sys.argv[1] if len(sys.argv) > 1 else "", len(sys.argv))
    asked = parser.parse_args(sys.argv[1 : 1 + taken])
    asked.words = sys.argv[1 + taken :]
    return _run(asked)


def _run(asked: argparse.Namespace) -> int:
    if asked.command == "build":
        return build.main()
    if asked.command == "down":
        print("down" if cluster.stop() else "there was none")
        return 0
    if asked.command == "up":
        return _up(asked.nodes)
    found = cluster.running()
    if found is None:
        print("no cluster is up: ./dev cluster up", file=sys.stderr)
        return 1
    if asked.command == "score":
        return _score(found, asked.enforcer, asked.suites or list(scores.SUITES))
    if asked.command == "kubectl":
        words = found.command([*found.kubectl_command, *asked.words])
    else:
        words = found.command(asked.words, found.nodes[asked.node - 1])
    return subprocess.run(words, check=False).returncode


def _up(nodes: int) -> int:
    if obstacle := build.obstacle():
        print(f"!!! NO CLUSTER: {obstacle}", file=sys.stderr)
        return build.UNAVAILABLE
    started = time.monotonic()
    try:
        cluster.keep(cluster.start(nodes))
    except cluster.NotStarted as error:
        print(error, file=sys.stderr)
        return 1
    print(f"up: {nodes} nodes, ready after {time.monotonic() - started:.0f} s")
    print("./dev cluster kubectl get nodes; ./dev cluster down")
    return 0


def _score(found: cluster.Cluster, enforcer: str, names: list[str]) -> int:
    suites.install_tiers(found)
    with scores.ENFORCERS[enforcer](found):
        for name in names:
            file = scores.FOLDER / f"{name}-{enforcer}.txt"
            results = scores.write(found, name, enforcer, file)
            print(f"{file}: {scores.summary(results)}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
