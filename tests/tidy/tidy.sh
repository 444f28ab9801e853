#!/usr/bin/env bash
# Usage: tidy.sh BUILD_FOLDER. Prints what clang-tidy finds; exit 1 when it finds anything.
cd "$(dirname "$0")/../.." || exit 2
found=$(mktemp)
trap 'rm -f "$found"' EXIT
# The analyzer is told that a set error is a failure.
known=(--extra-arg=-include --extra-arg="$PWD/tests/tidy/analyzer.h")
git ls-files 'stream/*.c' 'store/*.c' 'connectors/*.c' 'sql/*.c' 'dashboards/*.c' main.c |
  xargs -P 2 -n 6 clang-tidy -p "$1" --quiet "${known[@]}" >"$found" 2>/dev/null
grep -E -A 3 '(warning|error):' "$found" && exit 1
echo "clang-tidy: clean"
