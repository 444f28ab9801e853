#!/usr/bin/env bash
# Sizes of the crash tests: 10 kills each, or with TARN_TEST_FULL=1 at least 50 kills over 100,000 events.
cd "$(dirname "$0")" || exit 2
if [ -n "${TARN_TEST_FULL:-}" ]; then
  exec python3 crash.py --kills 50 --events 100000 "$@"
fi
exec python3 crash.py --kills 10 --events 20000 "$@"
