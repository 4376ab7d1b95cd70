"""worldmodel: an open world-action model. Train on one machine, run at control rate, trust by measurement.

In Python: `load`, `open_data`, `collect`, `train` and `evaluate`, each imported on first use.
"""

from typing import TYPE_CHECKING

from worldmodel import lazy

if TYPE_CHECKING:
    from worldmodel.collect.call import collect
    from worldmodel.data.dataset import open_data
    from worldmodel.evaluate.call import evaluate
    from worldmodel.policies.agent import load
    from worldmodel.train.call import train

__version__ = "0.1.0"
__all__ = ["collect", "evaluate", "load", "open_data", "train"]
__getattr__ = lazy.names(
    __name__, **{"policies.agent": "load", "data.dataset": "open_data", "": "collect evaluate train"}
)
