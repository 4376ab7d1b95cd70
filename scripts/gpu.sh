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

install() {
  for package in .gpu/gl/*.deb; do dpkg -x "$package" /; done
  ldconfig
  "$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --upgrade --target /tmp/site .gpu/wheels/*.whl
}

recording() { # name task behaviour episodes seed
  CUDA_VISIBLE_DEVICES="" OMP_NUM_THREADS=1 worldmodel collect task="$2" behaviour="$3" seed="$5" out="$1" \
    episodes=$(($4 * SCALE / 100)) workers="${WORKERS:-4}" >"$1.log" 2>&1 || tail -3 "$1.log"
}

collect() {
  mkdir -p "$1"
  recording "$1/place_can" place_can expert 800 1000000 &
  recording "$1/lift_can" lift_can expert 400 2000000 &
  recording "$1/mixed" "[place_can,lift_can]" mixed 500 3000000 &
  recording "$1/keys" place_can keys 400 5000000 &
  wait
  grep -h "episodes," "$1"/*.log
}

train() { # DATA OUT [key=value ...]
  local data=$1 out=$2
  shift 2
  worldmodel train experiment=shipped data="$data/place_can,$data/lift_can,$data/mixed,$data/keys" out="$out" \
    batch="$BATCH" cache_on_device=true holdout=0.01 "$@"
}

pace() { # seconds a step in the last lines of a run's log
  "$PYTHON" -c "import json,sys; rows=[r for r in map(json.loads, open(sys.argv[1])) if 'seconds' in r]; a,b=rows[-2:]; print(f\"{b['seconds']/(b['step']-a['step']):.4f}\")" "$1/metrics.jsonl"
}

bench() { # DATA: one line each
  local zero="policy: 0, joint: 0, forward: 0, inverse: 0, video: 0, rollout: 0" out
  for mode in rollout policy; do
    for compile in false true; do
      out=$(mktemp -d)
      train "$1" "$out" steps=30 save_every=1000 log.every=10 compile=$compile "modes={${zero/$mode: 0/$mode: 1}}" >"$out/log" 2>&1 || tail -3 "$out/log"
      echo "$mode compile=$compile $(pace "$out" || true) s a step, batch $BATCH"
    done
  done
}

all() { # DATA OUT SECONDS
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
