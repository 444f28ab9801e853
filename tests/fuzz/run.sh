#!/usr/bin/env bash
# Runs one fuzz target. Usage: run.sh PROGRAM [SECONDS]; the default is $TN_FUZZ_SECONDS, else 7.
# First every input of tests/fuzz/found/NAME (what once failed), then seeds and new inputs for the given time. The plain
# form makes the same inputs in every run, so that a green change stays green; with a given time, or TARN_TEST_FULL, each
# run makes others: that is how new ones are found. An input that fails is kept beside the program; run the program with
# its path to see it again, and add it to found/.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$1 seconds=${2:-${TN_FUZZ_SECONDS:-7}}
name=$(basename "$program") && name=${name#fuzz_}
work=$(mktemp -d) && trap 'rm -rf "$work"' EXIT
mkdir -p "$work/seeds" "$work/new"
seed=1
[ $# -lt 2 ] && [ -z "${TN_FUZZ_SECONDS:-}${TARN_TEST_FULL:-}" ] || seed=0 # 0: by chance
options=(-seed="$seed" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$(dirname "$program")/failed-$name-")

if [ -d "tests/fuzz/found/$name" ]; then
  "$program" "${options[@]}" tests/fuzz/found/"$name"/*
fi
if [ "$name" = sql ]; then # one seed per statement of the corpus; the keywords are the dictionary
  awk -v dir="$work/seeds" 'FNR == 1 { text = "" }
    /^[#%=]/ || /^$/ { if (text != "") { n++; file = dir "/" n; printf "0%s", text > file; close(file) } text = ""; next }
    { text = text (text == "" ? "" : "\n") $0 }' tests/sql/parse/*.txt
  grep -o 'XX([A-Z_]*, [01])' sql/lexer.h | sed 's/XX(\([A-Z_]*\),.*/" \1 "/' >"$work/words"
  options+=(-dict="$work/words" -max_len=600)
fi
[ -d "tests/fuzz/seeds/$name" ] && cp tests/fuzz/seeds/"$name"/* "$work/seeds"
echo "fuzz_$name: $(find "$work/seeds" -type f | wc -l) seeds, $seconds s"
status=0
find "$work/seeds" -type f | sort -V | paste -s -d, >"$work/list" # a folder's own order differs from run to run
"$program" "${options[@]}" -max_total_time="$seconds" -print_final_stats=1 -seed_inputs="@$work/list" "$work/new" \
  >"$work/log" 2>&1 || status=$?
grep -E 'Seed:|number_of_executed' "$work/log" || true
[ "$status" -eq 0 ] || tail -n 60 "$work/log"
exit "$status"
