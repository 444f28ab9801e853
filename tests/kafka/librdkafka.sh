#!/usr/bin/env bash
# Builds librdkafka of Debian 13, once, into FOLDER (the caller's build/librdkafka): exactly-once needs 2.5.0 or newer,
# Debian 12 has 2.0.2; and versions before 2.10 corrupt their memory when a topic is deleted and created anew, so that the
# process ends: the library built here is mended (two conditions, below). The source package comes by apt in a private
# configuration whose sources are this machine's own with the suite swapped, so nothing is installed and no mirror is named.
# Where the system's library is new enough there is nothing to do.
# Usage: tests/kafka/librdkafka.sh FOLDER
set -euo pipefail
folder=$(realpath -m "$1") self=$(realpath "$0")
suite=trixie version=2.8.0
! cmp -s "$self" "$folder/built-by" || exit 0 # a copy of this script: another one mends other places
if pkg-config --atleast-version=2.10.0 rdkafka; then
  echo "librdkafka $(pkg-config --modversion rdkafka) of the system is used"
  exit 0
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/parts"
# The stanza or line of the system's sources that serves the main archive of this Debian.
. /etc/os-release
python3 - "$VERSION_CODENAME" "$suite" >"$work/sources.list" <<'PY'
import glob, os, re, sys
here, wanted = sys.argv[1:]
def found(uri, signed):
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    option = f" [signed-by={signed or keys}]" if signed or os.path.exists(keys) else ""
    print(f"deb-src{option} {uri} {wanted} main")
    sys.exit()
for path in sorted(glob.glob("/etc/apt/sources.list.d/*.sources")):
    for stanza in re.split(r"\n\s*\n", open(path).read()):
        field = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.M))
        if here in field.get("Suites", "").split():
            found(field["URIs"].split()[0], field.get("Signed-By", "").strip())
for path in ["/etc/apt/sources.list", *sorted(glob.glob("/etc/apt/sources.list.d/*.list"))]:
    try:
        lines = open(path).read().splitlines()
    except OSError:
        continue
    for line in lines:
        hit = re.match(r"\s*deb(?:-src)?\s+(?:\[[^]]*\]\s+)?(\S+)\s+(\S+)\s", line)
        if hit and hit.group(2) == here:
            found(hit.group(1), "")
sys.exit("no Debian source found on this machine")
PY
options=(-o "Dir::Etc::SourceList=$work/sources.list" -o "Dir::Etc::SourceParts=$work/parts"
         -o "Dir::State::Lists=$work/apt/lists" -o "Dir::Cache=$work/apt/cache" -o APT::Sandbox::User=root)
cd "$work"
apt-get "${options[@]}" update -q >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
apt-get "${options[@]}" source -q librdkafka >"$work/log" 2>&1 || { tail -n 5 "$work/log" >&2; exit 1; }
cd "$work"/librdkafka-"$version"*/ || { echo "librdkafka $version is not what Debian's $suite has" >&2; exit 1; }
# A topic's cache entry stays in the tree of topic ids when the topic comes back with another id: freed, but still found.
cache=src/rdkafka_metadata_cache.c condition='} else if (old \&\& !RD_KAFKA_UUID_IS_ZERO('
[ "$(grep -c "${condition//\\/}" $cache)" = 1 ] || { echo "librdkafka $version: $cache is not the one to mend" >&2; exit 1; }
id=rkmce_metadata_internal_topic.topic_id
sed -i "s/$condition/}\n if (old \&\& rd_kafka_Uuid_cmp(old->$id, rkmce->$id) != 0 \&\& !RD_KAFKA_UUID_IS_ZERO(/" $cache
# A fetch answer that says "no leader now" (-1: a broker that has just come back) is counted as news of a leader, but not
# stored: what is read in its place is whatever the memory held (open, also in 2.12).
fetcher=src/rdkafka_fetcher.c counted='TopicTags->partitions_with_leader_change_cnt++;'
[ "$(grep -c "$counted" $fetcher)" = 1 ] || { echo "librdkafka $version: $fetcher is not the one to mend" >&2; exit 1; }
sed -i "s/$counted/if (PartitionTags->CurrentLeader.LeaderId >= 0)\n $counted/" $fetcher
DEB_BUILD_OPTIONS="nocheck parallel=2" dpkg-buildpackage -b -uc -us >"$work/log" 2>&1 ||
  { tail -n 20 "$work/log" >&2; exit 1; }
rm -rf "$folder.new"
mkdir -p "$folder.new"
for package in "$work"/librdkafka1_*.deb "$work"/librdkafka-dev_*.deb; do
  dpkg-deb -x "$package" "$folder.new"
done
# Debian's layout has an architecture folder; a fixed one is easier to name.
mv "$folder.new"/usr/lib/*-linux-gnu* "$folder.new/lib"
cp "$self" "$folder.new/built-by"
rm -rf "$folder"
mv "$folder.new" "$folder"
echo "librdkafka $version built into $folder"
