# shellcheck shell=bash
# What the checks that build images have in common; sourced, not run.
#
# No Docker engine is needed: buildah builds, podman runs. A script that sources this defines CHECK,
# its name in messages, and `remove`, which removes what it made.
#
#   DEBIAN_MIRROR    where debootstrap fetches Debian, if not from its default
set -euo pipefail

readonly CERTIFICATES=/etc/ssl/certs/ca-certificates.crt # Debian's, in the image

export DO_NOT_TRACK=1 BENTOML_DO_NOT_TRACK=True
# Steps of the build run in a chroot: that needs no namespaces, so it works inside a container, too.
export BUILDAH_ISOLATION=chroot

work=$(mktemp -d)
base_container=
root=
container= # name or ID of the one that is checked
mounts=() # of a build: FILE:PLACE:ro

say() { printf '%s\n' "$*"; }
fail() {
  printf '%s: %s\n' "$CHECK" "$*" >&2
  exit 1
}

clean_up() {
  local status=$?
  trap - EXIT
  if [[ $status -ne 0 && -n $container ]] && podman container exists "$container" 2> /dev/null; then
    say "--- the container's log:" >&2
    podman logs --tail 40 "$container" >&2 || true
  fi
  {
    remove
    [[ -z $base_container ]] || buildah rm "$base_container"
  } > /dev/null 2>&1 || true
  rm -rf "$work"
  exit "$status"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN { printf "%.1f", to - from }'; }

# wait_until_ready ADDRESS SECONDS: ask until the container that is checked answers.
wait_until_ready() {
  local address=$1 within=$2 began=$EPOCHREALTIME deadline=$((SECONDS + $2))
  until curl --noproxy '*' --silent --fail --max-time 2 --output /dev/null "$address"; do
    [[ $(podman inspect --format '{{.State.Running}}' "$container") == true ]] \
      || fail "the container stopped before it was ready"
    [[ $SECONDS -lt $deadline ]] || fail "not ready within $within s"
    sleep 0.1
  done
  say "ready: after $(since "$began") s"
}

# --- what is needed -------------------------------------------------------------------------

need_tools() {
  local command missing=()
  for command in buildah podman runc debootstrap curl; do
    command -v "$command" > /dev/null || missing+=("$command")
  done
  [[ ${#missing[@]} -eq 0 ]] && return
  if [[ $EUID -ne 0 ]] || ! command -v apt-get > /dev/null; then
    fail "install ${missing[*]}, or run this as root where there is apt-get"
  fi
  say "installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    "${missing[@]}" > /dev/null
}

# --- base images ----------------------------------------------------------------------------

# need_base_image IMAGE FUNCTION: pull a base image; without a registry, have a function make a
# stand-in for it.
need_base_image() {
  local image=$1 make_stand_in=$2
  if buildah inspect --type image "$image" > /dev/null 2>&1; then
    say "base: $image, already here$(podman image inspect \
      --format '{{if index .Labels "stock_volume.stand_in"}} (a stand-in){{end}}' "$image")"
  elif timeout 120 buildah pull --quiet "$image" > "$work/pull.log" 2>&1; then
    say "base: $image, pulled"
  else
    [[ $EUID -eq 0 ]] \
      || fail "cannot pull $image, and a stand-in takes root: $(tail -n 1 "$work/pull.log")"
    say "base: no registry answers; making a stand-in for $image (remove it with: buildah rmi $image)"
    "$make_stand_in"
    buildah config --label stock_volume.stand_in=debootstrap "$base_container"
    buildah commit --quiet --rm "$base_container" "$image" > /dev/null
    base_container=
  fi
}

# begin_stand_in PACKAGE...: Debian 12 and packages, in $base_container and, mounted, in $root.
begin_stand_in() {
  base_container=$(buildah from scratch)
  root=$(buildah mount "$base_container")
  debootstrap --variant=minbase --include="$(IFS=, && printf '%s' "$*")" \
    bookworm "$root" ${DEBIAN_MIRROR:+"$DEBIAN_MIRROR"} > "$work/debootstrap.log" 2>&1 \
    || fail "debootstrap failed: $(tail -n 3 "$work/debootstrap.log")"
  # Debian forbids pip to install beside its packages; the real images do not, and Dockerfiles
  # count on that.
  rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED
  # Nor do the real images keep what apt has fetched.
  cat > "$root/etc/apt/apt.conf.d/docker-clean" << 'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
END
  rm -rf "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
}

# --- settings of a build --------------------------------------------------------------------

# Print what pip on this machine is set to, by its files or environment: pip_setting index-url.
pip_setting() {
  python3 -m pip config list 2> /dev/null | sed -n "s/^[^=]*[.]$1='\(.*\)'\$/\1/p" | head -n 1 \
    || true
}

# The same without folders of this machine, which a build does not see: one address a line.
pip_addresses() { pip_setting "$1" | tr ' ' '\n' | { grep -E '^https?://' || true; }; }

toml_list() { sed 's/.*/"&"/' | paste -sd ,; }

# Inside the build, pip and uv must ask the registry that this machine asks, and trust what it
# trusts. Their settings are files made now, so that none in the repository names a host, and are
# mounted, so that none stays in the image. (Arguments do not help: the Dockerfile declares none.)
write_build_settings() {
  local index extra trusted certificates
  index=$(pip_addresses index-url)
  extra=$(pip_addresses extra-index-url)
  trusted=$(pip_setting trusted-host)
  certificates=$(pip_setting cert)
  certificates=${certificates:-${SSL_CERT_FILE:-}}
  {
    say '[global]'
    [[ -z $index ]] || say "index-url = $index"
    [[ -z $extra ]] || say "extra-index-url = $(paste -sd ' ' <<< "$extra")"
    [[ -z $trusted ]] || say "trusted-host = $trusted"
    [[ -z $certificates ]] || say "cert = $CERTIFICATES"
  } > "$work/pip.conf"
  {
    [[ -z $index ]] || say "index-url = \"$index\""
    [[ -z $extra ]] || say "extra-index-url = [$(toml_list <<< "$extra")]"
    [[ -z $trusted ]] || say "allow-insecure-host = [$(tr ' ' '\n' <<< "$trusted" | toml_list)]"
    [[ -z $certificates ]] || say 'native-tls = true'
  } > "$work/uv.toml"
  # Not by --opt volume=: BentoML makes one argument of all of them.
  mounts=("$work/pip.conf:/etc/pip.conf:ro" "$work/uv.toml:/etc/uv/uv.toml:ro")
  [[ -z $certificates ]] || mounts+=("$certificates:$CERTIFICATES:ro")
  printf '[containers]\nvolumes = [%s]\n' "$(printf '%s\n' "${mounts[@]}" | toml_list)" \
    > "$work/containers.conf"
}
