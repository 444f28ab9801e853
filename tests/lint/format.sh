#!/usr/bin/env bash
# Every C file is as clang-format leaves it.
cd "$(dirname "$0")/../.." || exit 2
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror 2>&1 | grep -E 'error' | sort -u | head -20
exit "$((${PIPESTATUS[1]} != 0))"
