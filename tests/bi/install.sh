#!/usr/bin/env bash
# What apt does not have for the label `bi` and for bin/superset, into build/. Quick when there is nothing to do.
# Usage: install.sh clients|superset…
set -euo pipefail
cd "$(dirname "$0")/../.."
mkdir -p build/bi build/superset
export PIP_DISABLE_PIP_VERSION_CHECK=1

fail() { # log
  tail -n 20 "$1" >&2
  exit 1
}

# The clients of Trino: Python's trino with its SQLAlchemy dialect, PyHive, the CLI, the JDBC driver.
clients() {
  local log=build/bi/install.log
  if ! cmp -s tests/bi/requirements.txt build/bi/requirements.txt; then
    echo "installing Trino's Python clients"
    rm -rf build/bi/venv
    { python3 -m venv build/bi/venv && build/bi/venv/bin/pip install -q -r tests/bi/requirements.txt; } >"$log" 2>&1 ||
      fail "$log"
    cp tests/bi/requirements.txt build/bi/requirements.txt
  fi
  for jar in trino-cli:476:jar:executable trino-jdbc:476:jar; do
    local name=${jar%%:*}
    [ ! -e "build/bi/jars/$name.jar" ] || continue
    echo "fetching $name"
    mvn -q -B dependency:copy -Dartifact="io.trino:$jar" -DoutputDirectory=build/bi/jars -Dmdep.stripVersion=true \
      -Dmdep.stripClassifier=true >"$log" 2>&1 || fail "$log"
  done
}

# Superset and its database with an administrator, ready to be started.
superset() {
  local home log=build/superset/install.log
  home=$PWD/build/superset/home
  if ! cmp -s dashboards/superset/requirements.txt build/superset/requirements.txt; then
    echo "installing Superset (850 MB)"
    rm -rf build/superset/venv "$home"
    { python3 -m venv build/superset/venv &&
      build/superset/venv/bin/pip install -q -r dashboards/superset/requirements.txt; } >"$log" 2>&1 || fail "$log"
    cp dashboards/superset/requirements.txt build/superset/requirements.txt
  fi
  if [ ! -e "$home/ready" ]; then
    echo "preparing Superset's database"
    rm -rf "$home" && mkdir -p "$home"
    (umask 077 && head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$home/secret")
    export FLASK_APP=superset SUPERSET_HOME=$home SUPERSET_CONFIG_PATH=$PWD/dashboards/superset/superset_config.py
    local run=build/superset/venv/bin/superset
    { $run db upgrade && $run init && $run fab create-admin --username admin --firstname tarn --lastname tarn \
      --email admin@localhost --password admin; } >"$log" 2>&1 || fail "$log"
    touch "$home/ready"
  fi
}

for what in "$@"; do "$what"; done
