#!/usr/bin/env bash
# Sizes of the kills of sinks: a third of the long form, or with TARN_TEST_FULL=1 32 kills over at least 100,000 changes.
cd "$(dirname "$0")" || exit 2
if [ -n "${TARN_TEST_FULL:-}" ]; then
  case " $* " in *" --kafka "*) set -- --keys 400000 "$@" ;; esac # its commits are long: few changes of a few keys
  exec python3 crash.py --kills 32 --events 180000 "$@"
fi
case " $* " in
*" --kafka "*) exec python3 crash.py --kills 11 --events 40000 "$@" ;; # each start joins a group: seconds
*) exec python3 crash.py --kills 16 --events 46000 "$@" ;;
esac
