# What the scripts below tests/ share; to be sourced.
#
#   need PROGRAM PACKAGE       installs a Debian package if the program is missing
#   python_env                 a virtual environment with the clients of clients/requirements.txt; sets PYTHON
#   free_port                  prints a TCP port that nobody listens on
#   broker_start DIR ARG...    `highwater serve` over DIR; sets BROKER_PID and BOOTSTRAP once it answers. The binary is
#                              $HIGHWATER, by default the release build
#   broker_stop                SIGTERM, and waits; fails if the broker did not end well
#   broker_kill                SIGKILL, and waits

TESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/highwater
HIGHWATER=${HIGHWATER:-${CARGO_TARGET_DIR:-$TESTS/../target}/release/highwater}

need() {
  command -v "$1" > /dev/null && return
  local sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
  echo "installing $2 for $1" >&2
  { $sudo apt-get update -qq && DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq "$2"; } > /dev/null
}

# cached NAME FILE: a directory for what FILE (with its pinned versions) asks for. It is complete once it holds .complete.
cached() { echo "$CACHE/$1-$(sha256sum "$2" | head -c 16)"; }

python_env() {
  local home; home=$(cached python "$TESTS/clients/requirements.txt")
  PYTHON=$home/bin/python
  [ -e "$home/.complete" ] && return
  python3 -c 'import venv, ensurepip' 2> /dev/null || need python3-venv python3-venv
  python3 -m venv --clear "$home"
  "$PYTHON" -m pip install -q -r "$TESTS/clients/requirements.txt" >&2
  touch "$home/.complete"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

answers() { (exec 3<> "/dev/tcp/${1%:*}/${1##*:}") 2> /dev/null; }

broker_start() {
  local dir=$1 _; shift
  mkdir -p "$dir"
  [ -n "${BOOTSTRAP:-}" ] || BOOTSTRAP=127.0.0.1:$(free_port)
  "$HIGHWATER" serve --data "$dir/data" --listen "$BOOTSTRAP" "$@" >> "$dir/broker.log" 2>&1 < /dev/null &
  BROKER_PID=$!
  for _ in $(seq 300); do
    answers "$BOOTSTRAP" && return
    kill -0 "$BROKER_PID" 2> /dev/null || break
    sleep 0.1
  done
  tail -20 "$dir/broker.log" >&2
  echo "the broker did not start" >&2
  return 1
}

broker_stop() {
  local pid=${BROKER_PID:-}
  [ -n "$pid" ] || return 0
  BROKER_PID=
  kill "$pid" && wait "$pid"
}

broker_kill() {
  local pid=${BROKER_PID:-}
  [ -n "$pid" ] || return 0
  BROKER_PID=
  kill -9 "$pid" 2> /dev/null || true
  wait "$pid" 2> /dev/null || true
}
