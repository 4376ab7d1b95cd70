#!/usr/bin/env bash
# From a bare machine to a working .venv: Python 3.12 or 3.13, the hashed lock, this project, the system's GL libraries.
# Called by `make setup`. Running it again is free: a stamp inside .venv remembers what was installed.
# PYTHON=/path/to/python chooses the interpreter; WORLDMODEL_NO_SYSTEM=1 leaves the system's packages alone.
set -euo pipefail
cd "$(dirname "$0")/.."
VENV=.venv
STAMP=$VENV/.worldmodel-setup
PATH=$PATH:$PWD/$VENV-uv/bin # where an earlier run may have put its own uv

say() { printf 'setup: %s\n' "$*"; }
die() { printf 'setup: %s\n' "$*" >&2; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# --- the system ------------------------------------------------------------------------------------------------------
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

may_install() {
  [ -z "${WORLDMODEL_NO_SYSTEM:-}" ] && have apt-get && { [ "$(id -u)" = 0 ] || sudo -n true 2>/dev/null; }
}

apt_install() {
  local get="env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=120"
  as_root $get install -y --no-install-recommends "$@" >/dev/null 2>&1 ||
    { as_root $get update >/dev/null 2>&1 && as_root $get install -y --no-install-recommends "$@" >/dev/null 2>&1; }
}

gl_libraries() { # MuJoCo draws through EGL where there is no display; without it a plainer renderer steps in
  [ "$(uname)" = Linux ] || return 0
  if have dpkg-query; then
    local missing=() package
    for package in libegl1 libgl1-mesa-dri libopengl0; do
      dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} = 0 ] && return 0
    if may_install && say "installing ${missing[*]}" && apt_install "${missing[@]}"; then return 0; fi
    say "for faster rendering run: sudo apt-get install -y ${missing[*]}"
  elif ! PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null | grep -q libEGL.so.1; then
    if have dnf; then say "for faster rendering run: sudo dnf install -y mesa-libEGL mesa-dri-drivers libglvnd-opengl"
    elif have pacman; then say "for faster rendering run: sudo pacman -S --needed mesa libglvnd"
    else say "for faster rendering install your system's EGL, OpenGL and Mesa driver libraries"; fi
  fi
}

browser() { # for one test of the page of `worldmodel play`; elsewhere it is skipped where there is no Chromium
  [ -n "${CI:-}" ] && [ "$(uname)" = Linux ] || return 0
  have chromedriver && { have chromium || have chromium-browser || have google-chrome; } && return 0
  may_install && say "installing chromium, which a test drives" && apt_install chromium chromium-driver || true
}

# --- Python ----------------------------------------------------------------------------------------------------------
fits() { # runs it: a pyenv shim of a version that is not selected exists, but fails
  "$1" -c 'import sys; sys.exit(not (3, 12) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1
}

can_venv() { # with uv anything will do; Debian splits ensurepip off
  have uv || "$1" -c 'import venv, ensurepip' >/dev/null 2>&1
}

candidates() {
  local name dir
  for name in python3.12 python3.13 python3; do command -v "$name" || true; done
  ls -d "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[23].*/bin/python 2>/dev/null || true
  for dir in "${CONDA_PREFIX:-/nonexistent}" "$HOME"/{miniconda3,anaconda3,miniforge3,mambaforge} /opt/conda .conda; do
    ls -d "$dir"/bin/python "$dir"/envs/*/bin/python 2>/dev/null || true
  done
  if have uv; then uv python find '>=3.12,<3.14' 2>/dev/null || true; fi
}

find_python() {
  local path
  if [ -n "${PYTHON:-}" ]; then echo "$PYTHON"; return 0; fi
  while read -r path; do
    if fits "$path" && can_venv "$path"; then echo "$path"; return 0; fi
  done < <(candidates)
  return 1
}

uv_from_pip() { # a machine with some older Python 3 can still fetch uv, which fetches ours
  have uv && return 0
  have python3 && python3 -m venv "$VENV-uv" >/dev/null 2>&1 && "$VENV-uv/bin/python" -m pip -q install uv >/dev/null 2>&1
} # stays in .venv-uv, which is on PATH above

fetch_python() {
  say "no Python 3.12 or 3.13 here; fetching one"
  if uv_from_pip && uv python install 3.12 >/dev/null 2>&1; then return 0; fi
  if have conda && conda create -qy -p "$PWD/.conda" python=3.12 >/dev/null 2>&1; then return 0; fi
  if may_install && { apt_install python3.12 python3.12-venv || apt_install python3.13 python3.13-venv; }; then return 0; fi
  if have pyenv && pyenv install -s 3.12 >/dev/null 2>&1; then return 0; fi
  return 1
}

# --- the environment -------------------------------------------------------------------------------------------------
PLUGIN=plugins/lerobot_policy_worldmodel # worldmodel inside LeRobot: its own distribution, see its README

fingerprint() { cat requirements.lock pyproject.toml "$PLUGIN/pyproject.toml" scripts/setup.sh | cksum; }

install() { # the lock first, hashes checked, nothing resolved; then this project and its plugin, without a network
  local path
  [ -z "${PYTHON:-}" ] || fits "$PYTHON" || die "PYTHON=$PYTHON is not Python 3.12 or 3.13; leave it out, or name one that is"
  path=$(find_python) || { fetch_python && path=$(find_python); } ||
    die "needs Python 3.12 or 3.13: 'uv python install 3.12', or 'pyenv install 3.12', or your system's python3.12 with python3.12-venv"
  if ! fits "$VENV/bin/python"; then
    say "making $VENV with $("$path" --version) ($path)"
    if have uv; then uv venv -q --clear --python "$path" "$VENV"; else "$path" -m venv --clear "$VENV"; fi
  fi
  say "installing requirements.lock (about 3 GB on first use)"
  if have uv; then
    uv pip install -q --python "$VENV/bin/python" --require-hashes --no-deps -r requirements.lock
    uv pip install -q --python "$VENV/bin/python" --no-deps --no-build-isolation --editable . --editable "$PLUGIN"
  else
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || "$VENV/bin/python" -m ensurepip >/dev/null
    "$VENV/bin/python" -m pip -q --disable-pip-version-check install --require-hashes --no-deps -r requirements.lock
    "$VENV/bin/python" -m pip -q --disable-pip-version-check install --no-deps --no-build-isolation --editable . --editable "$PLUGIN"
  fi
  fingerprint >"$STAMP"
  say "ready: $VENV/bin/worldmodel"
}

gl_libraries
browser
if [ ! -f "$STAMP" ] || [ "$(cat "$STAMP")" != "$(fingerprint)" ] || ! fits "$VENV/bin/python"; then install; fi
