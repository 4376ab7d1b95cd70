#!/usr/bin/env bash
# The shipped checkpoint from nothing on one machine with a GPU: collect on all cores, then train.
#   scripts/gpu.sh collect DATA          1.5 minutes on 16 cores
#   scripts/gpu.sh train DATA OUT [key=value ...]
# PYTHON names the interpreter (python3 where it is not set).
set -euo pipefail
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
what=$1 data=$2
worldmodel() { "$PYTHON" -m worldmodel.cli "$@"; }
scale=${SCALE:-100} # per cent of the episodes

collect() { # name task behaviour episodes seed
  CUDA_VISIBLE_DEVICES="" OMP_NUM_THREADS=1 worldmodel collect task="$2" behaviour="$3" \
    episodes=$(($4 * scale / 100)) seed="$5" out="$data/$1" workers="${WORKERS:-4}" >"$data/$1.log" 2>&1 || tail -3 "$data/$1.log"
}

if [ "$what" = collect ]; then
  mkdir -p "$data"
  collect place_can place_can expert 800 1000000 &
  collect lift_can lift_can expert 400 2000000 &
  collect mixed "[place_can,lift_can]" mixed 500 3000000 &
  collect keys place_can keys 400 5000000 &
  wait
  tail -qn 2 "$data"/*.log | grep episodes
else
  out=$3
  shift 3
  worldmodel train experiment=shipped data="$data/place_can,$data/lift_can,$data/mixed,$data/keys" out="$out" \
    batch=768 cache_on_device=true "$@"
fi
