#!/usr/bin/env bash
# Runs the DAGs for real: on the embedded sample, by Airflow in an environment of its own.
#
#   make airflow-check        some two minutes
#   make airflow-picture      the same, then docs/images/airflow.png (needs Chromium)
#
# Everything is made below a temporary folder: layers, models, Airflow's home and database.
#
#   BIN, AIRFLOW_BIN   folders of the commands: .venv/bin and .venv-airflow/bin by default
#   KEEP               set it to keep the temporary folder
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly PROJECT=$PWD
readonly BIN=${BIN:-$PROJECT/.venv/bin}
readonly AIRFLOW_BIN=${AIRFLOW_BIN:-$PROJECT/.venv-airflow/bin}
readonly DAGS=deploy/airflow/dags
readonly PICTURE=docs/images/airflow.png
readonly LAYERS=(
  02_intermediate/prices.parquet 03_primary/sessions.parquet 04_feature/forecast_features.parquet
  06_models/forecaster.joblib 07_model_output/forecasts.parquet 08_reporting/report.md
)
# Boosters of the sample need not be good.
readonly SMALL=forecaster.num_threads=1,forecaster.n_estimators=60,forecaster.num_leaves=15,\
forecaster.quantile_trees=20,backtest.resamples=50
readonly READY_WITHIN=120 # seconds

work=$(mktemp -d)
server=

export STOCK_VOLUME_PROJECT=$PROJECT STOCK_VOLUME_KEDRO=$BIN/kedro
export STOCK_VOLUME_DATA_ROOT=$work/data STOCK_VOLUME_PARAMS=$SMALL
export STOCK_VOLUME_RETRIES=0
export BENTOML_HOME=$work/bentoml
export DO_NOT_TRACK=1 BENTOML_DO_NOT_TRACK=True
export AIRFLOW_HOME=$work/airflow
export AIRFLOW__CORE__DAGS_FOLDER=$PROJECT/$DAGS
export AIRFLOW__CORE__LOAD_EXAMPLES=False
export AIRFLOW__CORE__PARALLELISM=2
export AIRFLOW__USAGE_DATA_COLLECTION__ENABLED=False
export PYTHONDONTWRITEBYTECODE=1

say() { printf '%s\n' "$*"; }
fail() {
  printf 'airflow-check: %s\n' "$*" >&2
  exit 1
}

stop_server() {
  [[ -n $server ]] || return 0
  kill -- "-$server" 2> /dev/null || true # the group: Airflow starts several processes
  for _ in {1..20}; do
    kill -0 -- "-$server" 2> /dev/null || break
    sleep 0.5
  done
  kill -9 -- "-$server" 2> /dev/null || true
  server=
}

clean_up() {
  local status=$?
  trap - EXIT
  stop_server
  if [[ -n ${KEEP:-} ]]; then say "kept: $work"; else rm -rf "$work"; fi
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

airflow() { "$AIRFLOW_BIN/airflow" "$@"; }

quietly() {
  "$@" > "$work/log" 2>&1 || {
    tail -n 60 "$work/log" >&2
    fail "failed: $*"
  }
}

# --- the committed DAGs are what the pipelines give -----------------------------------------

dags_are_current() {
  quietly make --no-print-directory --assume-old=.venv/.installed airflow-dags \
    BIN="$BIN" AIRFLOW_DAGS="$work/dags"
  diff -u -r --exclude=__pycache__ "$DAGS" "$work/dags" \
    || fail "$DAGS is stale: run 'make airflow-dags'"
  say "the DAGs are those of the pipelines"
}

# --- Airflow reads and runs them ------------------------------------------------------------

airflow_reads_them() {
  quietly airflow db migrate
  quietly airflow dags list-import-errors --local # its exit code counts
  quietly airflow dags reserialize
  say "Airflow reads them"
}

# listed COMMAND...: the JSON that a command of Airflow prints, without the warnings around it.
listed() {
  airflow "$@" --output json 2> /dev/null | "$BIN/python" -c '
import json, re, sys
text = sys.stdin.read()
start = re.search(r"^\[\s*[{\]]", text, re.MULTILINE)
rows = json.JSONDecoder().raw_decode(text, start.start())[0] if start else []
print(json.dumps(rows))'
}

# run DAG: from its first task to its last, each of which must succeed.
run() {
  local from=$SECONDS
  quietly airflow dags test "$1"
  run_id=$(listed dags list-runs "$1" \
    | "$BIN/python" -c 'import json, sys; print(json.load(sys.stdin)[0]["run_id"])')
  listed tasks states-for-dag-run "$1" "$run_id" | "$BIN/python" -c '
import json, sys
states = {task["task_id"]: task["state"] for task in json.load(sys.stdin)}
bad = {name: state for name, state in states.items() if state != "success"}
print(f"{sys.argv[1]}: {len(states)} tasks, not successful: {bad or None}")
sys.exit(bool(bad) or not states)' "$1" || fail "not every task of $1 succeeded"
  say "$1 took $((SECONDS - from)) s"
}

layers_exist() {
  local file
  for file in "${LAYERS[@]}"; do
    [[ -s $work/data/$file ]] || fail "$file was not made"
  done
}

# bentos COUNT: so many Bentos are in the store.
bentos() {
  local found
  found=$("$BIN/bentoml" list --output json 2> /dev/null | grep -c '"tag": "stock_volume:') || true
  [[ $found -eq $1 ]] || fail "$found Bentos in the store, not $1"
}

# --- the picture ----------------------------------------------------------------------------

free_port() {
  "$BIN/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

take_picture() {
  local port address deadline
  port=$(free_port)
  address=http://127.0.0.1:$port
  # Nobody else can reach it, so everybody may do everything.
  AIRFLOW__API__HOST=127.0.0.1 AIRFLOW__API__PORT=$port AIRFLOW__API__BASE_URL=$address \
    AIRFLOW__CORE__EXECUTION_API_SERVER_URL=$address/execution/ \
    AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True \
    AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT=$(free_port) \
    AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT=$(free_port) \
    AIRFLOW__API__WORKERS=1 \
    PATH="$PATH:$AIRFLOW_BIN" setsid airflow standalone > "$work/standalone.log" 2>&1 &
  server=$!
  deadline=$((SECONDS + READY_WITHIN))
  until "$BIN/python" -c "import httpx; httpx.get('$address/api/v2/monitor/health').raise_for_status()" \
    2> /dev/null; do
    kill -0 "$server" 2> /dev/null && ((SECONDS < deadline)) || {
      tail -n 60 "$work/standalone.log" >&2
      fail "Airflow's server was not ready within $READY_WITHIN s"
    }
    sleep 1
  done
  "$BIN/python" tests/airflow/picture.py "$address" stock_volume "$1" "$PICTURE"
  stop_server
  say "$PICTURE"
}

[[ -x $AIRFLOW_BIN/airflow ]] || fail "there is no Airflow: use 'make airflow-check'"
dags_are_current
airflow_reads_them
run stock_volume
layers_exist
bentos 1
if [[ ${1:-} == --picture ]]; then take_picture "$run_id"; fi
run stock_volume_daily
[[ -s $work/data/08_reporting/monitoring.json ]] || fail "the monitoring wrote nothing"
say "airflow-check: all is well"
