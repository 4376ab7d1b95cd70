#!/usr/bin/env bash
# experiment=shipped from nothing on one machine with a GPU: collect on all cores, measure, train for the time left.
#   scripts/gpu.sh pack                     here: fetch the wheels and GL libraries that a bare machine lacks into .gpu/
#   scripts/gpu.sh install                  there: unpack them (as root; /tmp/site goes into PYTHONPATH)
#   scripts/gpu.sh collect DATA             2,100 episodes; SCALE=10 for a tenth
#   scripts/gpu.sh bench DATA               seconds a step of each kind, plain and compiled
#   scripts/gpu.sh train DATA OUT [k=v...]  the recipe; BATCH=768
#   scripts/gpu.sh all DATA OUT SECONDS     install and collect, then as many steps as fit into the rest of SECONDS
set -euo pipefail
cd "$(dirname "$0")/.."
begun=$SECONDS
PYTHON=${PYTHON:-python3} BATCH=${BATCH:-768} SCALE=${SCALE:-100}
export PYTHONPATH="/tmp/site:$PWD${PYTHONPATH:+:$PYTHONPATH}" MUJOCO_GL=${MUJOCO_GL:-egl} PYTHONUNBUFFERED=1
worldmodel() { "$PYTHON" -m worldmodel.cli "$@"; }

pack() {
  local system=manylinux names wheels=.gpu/wheels tags=()
  names=$(grep -E '^(mujoco|glfw|gymnasium|farama-notifications|zarr|numcodecs|donfig|google-crc32c|msgspec|hydra-core|omegaconf|pyopengl|etils|zipp)==' requirements.lock | cut -d' ' -f1)
  for tag in _2_28 _2_27 _2_17 2014 1; do tags+=(--platform "$system${tag}_x86_64"); done
  mkdir -p "$wheels" .gpu/gl
  # shellcheck disable=SC2086
  "$PYTHON" -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp "${tags[@]}" -d "$wheels" $names
  "$PYTHON" -m pip wheel -q --no-deps -w "$wheels" "$(grep -oE '^antlr4-python3-runtime==[^ ]+' requirements.lock)"
  (cd .gpu/gl && apt-get download -q libegl1 libglvnd0 libopengl0 libgl1 libglx0)
  du -sh .gpu
}

install() { # DATA OUT SECONDS
  local trial each steps compile
  install
  collect "$1"
  for compile in ${COMPILE:-true false}; do # the second where the first fails
    trial=$(mktemp -d)
    train "$1" "$trial" steps=60 save_every=1000 log.every=20 compile="$compile" >"$trial/log" 2>&1 && break
    tail -3 "$trial/log"
  done
  each=$(pace "$trial")
  steps=$("$PYTHON" -c "print(max(100, int(0.93 * ($3 - $SECONDS + $begun - 30) / $each)))")
  echo "compile=$compile: $each s a step, $steps steps in the $(($3 - SECONDS + begun)) s left"
  train "$1" "$2" steps="$steps" save_every=1000 log.every=50 compile="$compile"
}

"$@"
