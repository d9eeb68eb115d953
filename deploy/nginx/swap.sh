#!/usr/bin/env bash
# Serves another Bento without an interruption: starts it beside the present one, sends it the
# requests that clients send, and only then lets nginx pass requests to it. If a check fails, the
# new server is stopped, and nothing has changed for clients.
#
# Usage: deploy/nginx/swap.sh stock_volume:TAG    (rolls back, too: give it the former tag)
#
#   CONF    configuration of nginx; its proxy_pass names the present port
#   PORTS   the two ports that take turns
#   STATE   folder for the servers' copies of their Bentos, logs and process numbers
#   RELOAD  command that makes nginx read its configuration again
set -euo pipefail

tag=${1:?give the tag of a Bento}
conf=${CONF:-/etc/nginx/conf.d/stock_volume.conf}
state=${STATE:-/var/lib/stock_volume}
reload=${RELOAD:-nginx -s reload}
read -r one other <<<"${PORTS:-3000 3001}"

present=$(sed -nE 's|^ *proxy_pass http://127\.0\.0\.1:([0-9]+);.*|\1|p' "$conf")
case $present in
  "$one") next=$other ;;
  "$other") next=$one ;;
  *)
    echo "swap: $conf passes requests to port '$present', not to $one or $other" >&2
    exit 2
    ;;
esac
mkdir -p "$state"

ask() {
  curl --silent --fail --max-time 10 ${STOCK_VOLUME_API_KEY:+--header "X-API-Key: $STOCK_VOLUME_API_KEY"} \
    "http://127.0.0.1:$next$1"
}

keep_present() {
  kill "$server" 2>/dev/null && wait "$server" || true
  echo "swap: $tag $1 (log: $state/$next.log); port $present still answers" >&2
  exit 1
}

if ask /livez >/dev/null; then
  echo "swap: port $next is in use" >&2
  exit 2
fi
# Servers that share a BENTOML_HOME spoil each other's metrics.
home=$state/$next
rm -rf "$home" "$state/next.bento"
mkdir "$home"
bentoml export "$tag" "$state/next.bento" >/dev/null
BENTOML_HOME=$home bentoml import "$state/next.bento" >/dev/null
rm "$state/next.bento"

BENTOML_HOME=$home nohup bentoml serve "$tag" --host 127.0.0.1 --port "$next" \
  --timeout-graceful-shutdown 30 >"$state/$next.log" 2>&1 &
server=$!
began=$SECONDS
until ask /readyz >/dev/null; do
  kill -0 "$server" 2>/dev/null || keep_present "does not start"
  ((SECONDS - began < 60)) || keep_present "is not ready after a minute"
  sleep 0.5
done

# The checks: the models that the Bento pins, a forecast of a symbol that it lists, an estimate.
models=$(ask /models) || keep_present "does not say which models it serves"
for pinned in $(BENTOML_HOME=$home bentoml get "$tag" --output json | grep -oE '"tag": "stock_volume_\w+:\w+"' | cut -d'"' -f4); do
  grep -qF "\"$pinned\"" <<<"$models" || keep_present "does not serve $pinned"
done
symbol=$(ask /symbols | grep -oE '"symbol": ?"[A-Z]+"' | head -1 | cut -d'"' -f4) ||
  keep_present "lists no symbols"
ask "/forecast/$symbol" >/dev/null || keep_present "does not forecast $symbol"
ask "/predict?vol_moving_avg=12345&adj_close_rolling_med=25" >/dev/null || keep_present "does not estimate"

sed "s|http://127.0.0.1:$present;|http://127.0.0.1:$next;|" "$conf" >"$conf.next"
mv "$conf.next" "$conf"
$reload
echo "$server" >"$state/$next.pid"
echo "swap: nginx passes requests to $tag on port $next"

# nginx has let go of the present server when its old workers have ended; BentoML completes what
# it has begun.
sleep "${DRAIN_SECONDS:-10}"
if [[ -f $state/$present.pid ]]; then
  kill "$(<"$state/$present.pid")" && rm "$state/$present.pid"
else
  echo "swap: stop the server on port $present; this script did not start it"
fi
