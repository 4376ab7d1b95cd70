#!/usr/bin/env bash
# LeRobot's own ACT and Diffusion Policy on our demonstrations, then on our frozen starts: what ours is to be held against.
#
#   scripts/baselines.sh act                        the whole of it; a GPU is advisable
#   scripts/baselines.sh ours                       our own policy on the same demonstrations and starts
#   EPISODES=4 SIZE=48 STEPS=20 BATCH=2 EXAM=2 scripts/baselines.sh act --policy.dim_model=64      in miniature
#
# Further words go to lerobot-train (ours: worldmodel train). What is there already is not made again: remove $OUT/act to train anew.
set -euo pipefail
cd "$(dirname "$0")/.."
kind=${1:-}
case $kind in act | diffusion | ours) ;; *) echo "usage: scripts/baselines.sh act|diffusion|ours [option of lerobot-train ...]" >&2 && exit 2 ;; esac
shift
PYTHON=${PYTHON:-.venv/bin/python} OUT=${OUT:-outputs/baselines} TASK=${TASK:-lift_can}
EPISODES=${EPISODES:-200} SIZE=${SIZE:-96} STEPS=${STEPS:-20000} BATCH=${BATCH:-32} WORKERS=${WORKERS:-2}
EXAM=${EXAM:-200} STARTS=${STARTS:-validation} # the test starts are for the last figure
store=$OUT/$TASK data=$OUT/${TASK}_lerobot run=$OUT/$kind

# Neither what the simulator knows nor what was pushed is for policies to see
"$PYTHON" -m worldmodel.cli collect task="$TASK" episodes="$EPISODES" size="$SIZE" seed=0 out="$store"
if [ "$kind" = ours ]; then
  "$PYTHON" -m worldmodel.cli train experiment=action_only data="$store" steps="$STEPS" batch="$BATCH" validation.every=0 out="$run" "$@"
  exec "$PYTHON" -m worldmodel.cli evaluate checkpoint="$run" task="$TASK" episodes="$EXAM" starts="$STARTS" out="$OUT/$kind.$STARTS"
fi
[ -d "$data" ] || "$PYTHON" -m worldmodel.cli data convert "$store" to=lerobot out="$data" \
  without=action.executed,observation.environment_state,phase,simulator_state

# As ours: no pretrained weights, chunks of 16, 8 of them executed. What is not said here is LeRobot's default
settings=(--policy.type="$kind" --policy.pretrained_backbone_weights=null --policy.n_action_steps=8)
case $kind in
act) settings+=(--policy.chunk_size=16 --policy.optimizer_lr=1e-4 --policy.optimizer_lr_backbone=1e-4) ;;
diffusion) settings+=(--policy.horizon=16 --policy.drop_n_last_frames=7 --policy.use_group_norm=true
  --policy.noise_scheduler_type=DDIM --policy.num_inference_steps=10) ;;
esac
[ -d "$run/checkpoints/last" ] || HF_HUB_OFFLINE=1 "$PYTHON" -m lerobot.scripts.lerobot_train "${settings[@]}" \
  --policy.push_to_hub=false --dataset.repo_id="local/$TASK" --dataset.root="$data" --output_dir="$run" \
  --batch_size="$BATCH" --steps="$STEPS" --num_workers="$WORKERS" --save_freq=5000 --env_eval_freq=0 "$@"

"$PYTHON" -m worldmodel.cli evaluate checkpoint="lerobot:$run" task="$TASK" episodes="$EXAM" starts="$STARTS" \
  n_action_steps=8 out="$OUT/$kind.$STARTS"
