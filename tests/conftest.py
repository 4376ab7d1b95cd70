"""One quiet, repeatable setting for every test. Shapes in signatures are checked by the hook in pyproject.toml."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"
os.environ.pop("WORLDMODEL_TRACE", None)
