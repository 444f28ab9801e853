#!/usr/bin/env bash
# No two folders define the same global name: archives would hide it until something links both. Usage: symbols.sh BUILD
cd "$1" || exit 2
twice=$(for folder in stream store connectors sql dashboards; do
  nm --defined-only "libtn_$folder.a" 2>/dev/null | awk '$2 ~ /[TDBR]/ {print $3}'
done | sort | uniq -d)
[ -z "$twice" ] || { echo "defined twice: $twice" && exit 1; }
