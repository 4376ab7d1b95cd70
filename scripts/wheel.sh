#!/usr/bin/env bash
# Build the wheels (ours and the LeRobot plugin's) without a network and prove that ours works away from the repository.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
rm -rf dist
"$python" -m hatchling build -t wheel >/dev/null
(cd plugins/lerobot_policy_worldmodel && "$python" -m hatchling build -t wheel -d "$PWD/../../dist" >/dev/null)
away=$(mktemp -d)
trap 'rm -rf "$away"' EXIT
"$python" -m zipfile -e dist/worldmodel-*.whl "$away"
cd "$away" # site-packages gives the dependencies; PYTHONPATH puts the wheel's copy before the checkout's
PYTHONPATH=$away PYTHONSAFEPATH=1 "$python" - <<'PY'
import importlib.metadata, pathlib, worldmodel
from worldmodel import assets

here = pathlib.Path(worldmodel.__file__).resolve().parents[1]
assert here == pathlib.Path.cwd().resolve(), f"imported {here}, not the wheel"
for folder in ("configs", "envs", "eval", "checkpoints"):
    assert "_assets" in assets.asset(folder).parts, assets.asset(folder)
assert not (here / "research").exists(), "the wheel holds research/"
from worldmodel.report import page

assert "<h1>a wheel</h1>" in page.render("study.html", title="a wheel", lead=(), tiles=(), sections=(), record=None)
import gymnasium, worldmodel.sims.can

observation, _ = gymnasium.make("worldmodel/PlaceCan-v0", size=32).reset(seed=0)
assert observation["observation.images.scene"].shape == (32, 32, 3)
print(f"worldmodel {importlib.metadata.version('worldmodel')} imports from its wheel, with its assets")
PY
answer=$(PYTHONPATH=$away PYTHONSAFEPATH=1 "$python" -m worldmodel.cli probe 2>&1) && exit 1
case $answer in *"research/ of a checkout"*) ;; *) echo "probe from the wheel: $answer" >&2 && exit 1 ;; esac
echo "wrote $(cd - >/dev/null && ls dist/*.whl)"
