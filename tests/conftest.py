"""One quiet, repeatable setting for every test. Shapes in signatures are checked by the hook in pyproject.toml."""

import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "2")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "disabled"
os.environ.pop("WORLDMODEL_TRACE", None)

sys.path.insert(0, str(Path(__file__).parent / "fakes"))  # the counting dummy, for spawned workers too

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job, and so by children
