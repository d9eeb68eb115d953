#!/usr/bin/env bash
# Makes the store's latest Bento a container image, runs it locked down, and calls it.
#
#   make container-check      as root on Debian or a relative of it; some two minutes
#
# It is not part of `make test` because it installs system packages where they are missing and
# fetches some hundred megabytes.
#
#   BENTOML_HOME     the store to take the Bento from; ~/bentoml by default
#   DEBIAN_MIRROR    where debootstrap fetches Debian, if not from its default
#   KEEP_IMAGE       set it to keep the image
set -euo pipefail

readonly CHECK=container-check
# shellcheck source=tests/container/common.sh
source "$(dirname "$0")/common.sh"

readonly BASE=docker.io/library/python:3.11-slim # what the Dockerfile of a Bento begins with
readonly BENTO=stock_volume:latest
readonly IMAGE=localhost/stock_volume:container-check
readonly CONTAINER=stock_volume-container-check-$$
readonly MUST_NOT_IMPORT="kedro pandas dask jupyter" # a run needs them, the service does not
readonly READY_WITHIN=60 # seconds
readonly STOPPED_WITHIN=15

export BENTOML_HOME=${BENTOML_HOME:-$HOME/bentoml}

container=$CONTAINER

remove() {
  podman rm --force --time 5 "$CONTAINER"
  [[ -n ${KEEP_IMAGE:-} ]] || podman rmi "$IMAGE"
}

# --- what is needed -------------------------------------------------------------------------

need_bento() {
  local path
  command -v bentoml > /dev/null || fail "there is no command bentoml: use 'make container-check'"
  path=$(bentoml get "$BENTO" --output path 2> /dev/null | tail -n 1) || true
  [[ -d $path ]] \
    || fail "no Bento $BENTO in $BENTOML_HOME: make one with 'make run', or set BENTOML_HOME"
  # Another run may make a newer Bento meanwhile: from here on it is this one.
  bento=stock_volume:$(basename "$path")
  say "bento: $bento of $BENTOML_HOME"
}

# Debian 12 has Python 3.11. What differs from the real image: Debian's own build of Python, and
# a few packages more.
make_stand_in() {
  begin_stand_in ca-certificates python3 python3-pip python3-venv python-is-python3
  buildah config --cmd python3 "$base_container"
}

# --- the image ------------------------------------------------------------------------------

build() {
  say "image: building it with bentoml containerize"
  write_build_settings
  SECONDS=0
  CONTAINERS_CONF="$work/containers.conf" bentoml containerize "$bento" --backend buildah \
    --image-tag "$IMAGE" > "$work/build.log" 2>&1 \
    || fail "bentoml containerize failed; its log ends: $(tail -n 30 "$work/build.log")"
  say "image: built in $SECONDS s"
}

# --- the container --------------------------------------------------------------------------

# As compose.yaml runs it, but on this machine's network. /tmp is all that is written: sockets, and
# BentoML's home, which is a folder of the root file system otherwise. podman's own idea of what
# may be written is turned off.
start() {
  port=$(python3 -c 'import socket; print(socket.create_server(("127.0.0.1", 0)).getsockname()[1])')
  local options=(
    --network host --env BENTOML_HOST=127.0.0.1 --env BENTOML_PORT="$port"
    --read-only --read-only-tmpfs=false
    --tmpfs "/tmp:rw,noexec,nosuid,nodev,size=64m" --env BENTOML_HOME=/tmp/bentoml
    --cap-drop all --security-opt no-new-privileges
    # podman asks for more by default than a container that it runs in may have.
    --ulimit nofile=20000:20000 --ulimit nproc=4096:4096
  )
  podman --runtime runc run --detach --name "$CONTAINER" "${options[@]}" "$IMAGE" > /dev/null \
    || fail "podman cannot run the image"
  wait_until_ready "http://127.0.0.1:$port/readyz" "$READY_WITHIN"
}

# Ask for a path: the status and the start of the content type must be these. The body is kept.
call() {
  local path=$1 status=$2 type=$3 got
  got=$(curl --noproxy '*' --silent --show-error --max-time 10 --output "$work/body" \
    --write-out '%{http_code} %{content_type}' "http://127.0.0.1:$port$path") \
    || fail "GET $path: no answer"
  [[ $got == "$status $type"* ]] \
    || fail "GET $path: expected $status $type, got $got: $(head -c 300 "$work/body")"
  say "  GET $path: $got"
}

# A Python expression about the JSON of the last answer must be true.
expect() {
  python3 -c "import json, sys; answer = json.load(open(sys.argv[1])); sys.exit(not ($1))" \
    "$work/body" || fail "expected of the last answer: $1; got $(head -c 300 "$work/body")"
}

check_http() {
  local symbol
  say "http:"
  call '/predict?vol_moving_avg=12345&adj_close_rolling_med=25' 200 application/json
  expect 'type(answer["volume"]) is int and answer["volume"] >= 0'
  call '/predict?vol_moving_avg=-1&adj_close_rolling_med=25' 422 application/problem+json
  expect 'answer["status"] == 422 and answer["errors"][0]["field"] == "vol_moving_avg"'
  call /symbols 200 application/json
  expect 'len(answer["symbols"]) > 0'
  symbol=$(sed -E 's/.*"symbols": ?\[\{"symbol": ?"([^"]+)".*/\1/' "$work/body")
  call "/forecast/$symbol" 200 application/json
  expect 'answer["forecast"] > 0'
  call / 200 text/html
  call /docs 200 text/html
}

inside() { podman exec "$CONTAINER" "$@"; }

check_confinement() {
  local user users found message environment variable
  user=$(inside id -u)
  [[ $user -ne 0 ]] || fail "the image's user is root"
  users=$(podman top "$CONTAINER" user | tail -n +2 | sort -u)
  [[ $users == bentoml ]] || fail "expected processes of bentoml only, got: $users"
  say "user: $users, $user"

  # shellcheck disable=SC2086 # one argument a module
  found=$(inside python -c \
    'import importlib.util as u, sys; print(*filter(u.find_spec, sys.argv[1:]))' $MUST_NOT_IMPORT)
  [[ -z $found ]] || fail "in the image: $found; requirements-serve.lock should not lead there"
  say "absent: $MUST_NOT_IMPORT"

  # Into a folder of the user's own, where nothing but the read-only root forbids it.
  if message=$(inside touch /home/bentoml/bento/written 2>&1); then
    fail "the root file system can be written"
  fi
  [[ $message == *'Read-only file system'* ]] || fail "expected a read-only root, got: $message"
  say "root file system: read-only"

  environment=$(inside env)
  for variable in BENTOML_DO_NOT_TRACK=True DO_NOT_TRACK=1; do
    grep -qx "$variable" <<< "$environment" \
      || fail "the image does not set $variable: 'envs' of bentofile.yaml does, 'docker.env' does not"
  done
  say "usage counts: off"
}

measure() {
  local packages
  packages=$(inside python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  say "image: $(($(podman image inspect --format '{{.Size}}' "$IMAGE") / 1000000)) MB," \
    "of which site-packages $(inside du -sm "$packages" | cut -f 1) MiB"
  podman top "$CONTAINER" hpid | tail -n +2 > "$work/processes"
  say "memory: $(memory Rss) MiB in $(wc -l < "$work/processes") processes," \
    "$(memory Pss) MiB with shared pages counted once"
}

# Add up, over the container's processes, what the kernel says of their memory.
memory() {
  local process
  while read -r process; do cat "/proc/$process/smaps_rollup"; done < "$work/processes" \
    | awk -v key="$1:" '$1 == key { sum += $2 } END { printf "%d", sum / 1024 }'
}

stop() {
  local began=$EPOCHREALTIME code
  podman stop --time "$STOPPED_WITHIN" "$CONTAINER" > /dev/null 2>&1 || fail "cannot stop it"
  code=$(podman inspect --format '{{.State.ExitCode}}' "$CONTAINER")
  [[ $code -ne 137 ]] || fail "it did not stop within $STOPPED_WITHIN s when asked to"
  say "stopped: after $(since "$began") s"
}

need_tools
need_bento
need_base_image "$BASE" make_stand_in
build
start
check_http
check_confinement
measure
stop
say "container-check: all is well"
