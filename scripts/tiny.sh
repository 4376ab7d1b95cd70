#!/usr/bin/env bash
# The whole path in miniature: collect, verify, train, resume, freeze starts, evaluate. Proves the joints, not the robot.
set -euo pipefail
cd "$(dirname "$0")/.."
worldmodel=$PWD/.venv/bin/worldmodel
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
set -x
"$worldmodel" collect task=lift_can episodes=4 out="$out/store"
"$worldmodel" data verify "$out/store"
"$worldmodel" train data="$out/store" out="$out/run" steps=2 batch=8 save_every=1 compile=false
"$worldmodel" train data="$out/store" out="$out/run" steps=4 batch=8 save_every=1 compile=false
"$worldmodel" starts task=lift_can episodes=2 out="$out/starts.npz"
"$worldmodel" evaluate checkpoint="$out/run" task=lift_can episodes=2 starts="$out/starts.npz" out="$out/report"
