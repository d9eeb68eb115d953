#!/usr/bin/env bash
# Builds Airflow's image, starts its compose file, and runs the DAG through Airflow's REST interface.
# Its layers and models must equal those that `kedro run` makes.
#
#   make airflow-container-check      as root on Debian or a relative of it; some five minutes
#
# It is not part of `make test` because it installs system packages where they are missing and
# fetches some hundred megabytes.
#
#   BIN              folder of kedro, python and uv: .venv/bin by default
#   DEBIAN_MIRROR    where debootstrap fetches Debian, if not from its default
#   KEEP_IMAGE       set it to keep the image
cd "$(dirname "$0")/../.."

readonly CHECK=airflow-container-check
# shellcheck source=tests/container/common.sh
source tests/container/common.sh

readonly BIN=${BIN:-$PWD/.venv/bin}
readonly COMPOSE=deploy/airflow/compose.yaml
readonly PODMAN_COMPOSE=podman-compose==1.5.0
readonly PROJECT=stock-volume-check
readonly IMAGE=localhost/stock_volume-airflow:latest
readonly ADDRESS=http://127.0.0.1:8080 # the compose file's
readonly DAG=stock_volume
# Boosters of the sample need not be good.
readonly SMALL=forecaster.num_threads=1,forecaster.n_estimators=60,forecaster.num_leaves=15,\
forecaster.quantile_trees=20,backtest.resamples=50
readonly READY_WITHIN=180 # seconds
readonly ENDED_WITHIN=600

base=$(sed -n 's/^FROM //p' deploy/airflow/Dockerfile)
readonly base

export STOCK_VOLUME_PARAMS=$SMALL
# podman's health checks are started by systemd, which a container lacks; this script runs them.
export DISABLE_HC_SYSTEMD=true

compose() {
  "$BIN/uv" tool run --quiet --from "$PODMAN_COMPOSE" podman-compose --in-pod false \
    --project-name "$PROJECT" -f "$COMPOSE" -f "$work/host.yaml" "$@"
}

remove() {
  compose down --volumes --timeout 10
  [[ -n ${KEEP_IMAGE:-} ]] || podman rmi "$IMAGE"
}

# --- the image ------------------------------------------------------------------------------

# What differs from the real image: Debian's own build of Python, and where Airflow is installed.
make_stand_in() {
  begin_stand_in ca-certificates curl python3 python3-pip python3-venv python-is-python3
  install -m 644 deploy/airflow/requirements.lock "$root/opt/airflow.lock"
  buildah run "${mounts[@]/#/--volume=}" "$base_container" -- sh -ec '
    useradd --uid 50000 --gid 0 --create-home airflow
    python -m venv /opt/airflow
    /opt/airflow/bin/pip install --quiet --no-cache-dir --require-hashes -r /opt/airflow.lock
    ln -s /opt/airflow/bin/airflow /usr/local/bin/airflow
  ' > "$work/airflow.log" 2>&1 || fail "cannot install Airflow: $(tail -n 5 "$work/airflow.log")"
  buildah config --user airflow --entrypoint '["airflow"]' --cmd '[]' "$base_container"
}

build() {
  say "image: building it with podman-compose"
  SECONDS=0
  CONTAINERS_CONF="$work/build.conf" compose build > "$work/build.log" 2>&1 \
    || fail "the build failed; its log ends: $(tail -n 30 "$work/build.log")"
  say "image: built in $SECONDS s"
}

# --- the container --------------------------------------------------------------------------

# The compose file as it is, on this machine's network. A container that this runs in may lack what
# podman asks for by default.
write_run_settings() {
  cat > "$work/host.yaml" << 'END'
services:
  airflow:
    network_mode: host
    environment:
      AIRFLOW__API__HOST: 127.0.0.1
END
  cat > "$work/run.conf" << 'END'
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=4096:4096"]
[engine]
runtime = "runc"
END
}

ask() { curl --noproxy '*' --silent --fail --max-time 10 "$@"; }

start() {
  ! ask --output /dev/null "$ADDRESS" || fail "something else answers at $ADDRESS"
  CONTAINERS_CONF="$work/run.conf" compose up --detach --no-build > "$work/up.log" 2>&1 \
    || fail "cannot start it: $(tail -n 10 "$work/up.log")"
  container=$(podman ps --all --quiet --filter "label=io.podman.compose.project=$PROJECT")
  [[ -n $container ]] || fail "no container was started: $(tail -n 10 "$work/up.log")"
  wait_until_ready "$ADDRESS/api/v2/monitor/health" "$READY_WITHIN"
  podman healthcheck run "$container" || fail "the health check of the compose file fails"
  say "health check: passes"
}

check_confinement() {
  local users
  users=$(podman top "$container" user | tail -n +2 | sort -u)
  [[ $users == airflow ]] || fail "expected processes of airflow only, got: $users"
  ! podman exec "$container" touch /opt/stock_volume/project/written 2> /dev/null \
    || fail "the project can be written"
  say "user: $users; the project is read-only"
}

# --- the DAG --------------------------------------------------------------------------------

inside() { podman exec "$container" "$@"; }

# api METHOD PATH [BODY]: what Airflow answers.
api() {
  ask --request "$1" --header "Authorization: Bearer $token" --header 'Content-Type: application/json' \
    ${3:+--data "$3"} "$ADDRESS/api/v2$2" || fail "$1 $2 failed"
}

# field NAME: of the JSON on standard input.
field() { "$BIN/python" -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

log_in() {
  local password
  password=$(inside cat /opt/stock_volume/airflow/simple_auth_manager_passwords.json.generated \
    | field admin)
  token=$(ask --header 'Content-Type: application/json' "$ADDRESS/auth/token" \
    --data "{\"username\": \"admin\", \"password\": \"$password\"}" | field access_token)
}

# Airflow reads the files of DAGs some seconds after it is healthy.
wait_for_dag() {
  local deadline=$((SECONDS + READY_WITHIN))
  until ask --output /dev/null --header "Authorization: Bearer $token" "$ADDRESS/api/v2/dags/$DAG"; do
    [[ $SECONDS -lt $deadline ]] || fail "Airflow does not list the DAG $DAG"
    sleep 1
  done
}

run_dag() {
  local began=$EPOCHREALTIME deadline=$((SECONDS + ENDED_WITHIN)) run state
  log_in
  wait_for_dag
  api PATCH "/dags/$DAG" '{"is_paused": false}' > /dev/null
  run=$(api POST "/dags/$DAG/dagRuns" '{"logical_date": null}' | field dag_run_id)
  until state=$(api GET "/dags/$DAG/dagRuns/$run" | field state) && [[ $state == success ]]; do
    [[ $state != failed ]] || fail "the run failed: $(api GET "/dags/$DAG/dagRuns/$run/taskInstances")"
    [[ $SECONDS -lt $deadline ]] || fail "the run is $state after $ENDED_WITHIN s"
    sleep 2
  done
  say "DAG: succeeded in $(since "$began") s"
}

# --- what it made ---------------------------------------------------------------------------

compare() {
  say "kedro run: the same on this machine"
  BENTOML_HOME="$work/store" "$BIN/kedro" run --params "data_root=$work/data,$SMALL" \
    > "$work/kedro.log" 2>&1 || fail "kedro run failed: $(tail -n 10 "$work/kedro.log")"
  "$BIN/python" -m tests.robustness.compare "$(volume data)" "$work/data" || fail "the results differ"
  BENTOML_HOME=$(volume bentoml) "$BIN/bentoml" list --output json 2> /dev/null \
    | grep -q '"tag": "stock_volume:' || fail "no Bento was made"
  say "Bento: made"
}

volume() { podman volume inspect --format '{{.Mountpoint}}' "${PROJECT}_$1"; }

need_tools
write_build_settings
mv "$work/containers.conf" "$work/build.conf"
write_run_settings
need_base_image "$base" make_stand_in
build
start
check_confinement
run_dag
compare
say "airflow-container-check: all is well"
