#!/usr/bin/env bash
# What the action does, in the order of its output. Inputs are the variables PODFENCE_*.
# Exit status 1: something is wrong with the manifests; 2: something could not be judged.
set -euo pipefail

# Files that the runner gives; outside of GitHub there are none.
summary=${GITHUB_STEP_SUMMARY:-/dev/null}
outputs=${GITHUB_OUTPUT:-/dev/null}
scratch=${RUNNER_TEMP:-$(mktemp -d)}
sources=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
worst=0

lines() { # $1: name of an array, $2: text with one item a line
    mapfile -t "$1" < <(printf '%s\n' "$2" | sed 's/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d')
}

remember() { # $1: exit status of a step
    if [ "$1" -gt "$worst" ]; then worst=$1; fi
}

run() { # a command of podfence; its exit status is in $status
    status=0
    "$podfence" "$@" || status=$?
}

install() {
    environment=$scratch/podfence-environment
    podfence=$environment/bin/podfence
    if [ -x "$podfence" ]; then return; fi
    "$PODFENCE_PYTHON" -m venv "$environment"
    "$environment/bin/python" -m pip install -q --disable-pip-version-check --no-deps \
        --require-hashes -r "$sources/requirements/runtime.txt"
    # The sources of this very revision, without a build.
    site=$("$environment/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    cp -RL "$sources/podfence" "$site/" # links are followed
    printf '#!/bin/sh\nexec "%s" -P -m podfence "$@"\n' "$environment/bin/python" >"$podfence"
    chmod +x "$podfence"
}

check() {
    echo "::group::podfence check"
    forms=(-o github)
    if [ -n "$PODFENCE_SARIF" ]; then forms+=(-o "sarif=$PODFENCE_SARIF"); fi
    run check "${files[@]}" "${forms[@]}"
    echo "::endgroup::"
    remember "$status"
}

promises() {
    lines tests "$PODFENCE_TESTS"
    notes=$scratch/podfence-test-annotations
    rm -f "$notes" # of another step
    echo "::group::podfence test"
    run test "${files[@]}" -o text -o "github=$notes" -- "${tests[@]}"
    if [ -e "$notes" ]; then cat "$notes"; fi # there is none where no test could be run
    echo "::endgroup::"
    remember "$status"
}

plan() {
    lines records "$PODFENCE_FLOWS"
    words=(--git "$PODFENCE_BASE...")
    for record in "${records[@]}"; do words+=(--flows "$record"); done
    page=$scratch/podfence-plan.md
    rm -f "$page" # of another step
    echo "::group::podfence plan"
    run plan "${words[@]}" --fail-on any -o github -o "markdown=$page" -- "${paths[@]}"
    echo "::endgroup::"
    if [ ! -e "$page" ]; then : >"$page"; fi # nothing could be compared
    cat "$page" >>"$summary"
    printf 'plan=%s\n' "$page" >>"$outputs"
    if [ "$status" -gt 1 ]; then
        remember "$status"
        return
    fi
    if [ "$status" -eq 1 ]; then changed=true; else changed=false; fi
    printf 'changed=%s\n' "$changed" >>"$outputs"
    if [ "$PODFENCE_FAIL_ON" != any ]; then
        run plan "${words[@]}" --fail-on "$PODFENCE_FAIL_ON" -o github -- "${paths[@]}" \
            >"$scratch/podfence-gate"
    fi
    remember "$status"
}

lines paths "$PODFENCE_PATHS"
files=()
for path in "${paths[@]}"; do files+=(-f "$path"); done
if [ ${#files[@]} -eq 0 ]; then
    echo "::error::the input 'paths' names no file or directory"
    exit 2
fi

install
if [ "$PODFENCE_CHECK" = true ]; then check; fi
if [ -n "$PODFENCE_TESTS" ]; then promises; fi
if [ -n "$PODFENCE_BASE" ]; then plan; fi
exit "$worst"
