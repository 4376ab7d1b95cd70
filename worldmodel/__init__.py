"""worldmodel: an open world-action model. Train on one machine, run at control rate, trust by measurement.

In Python: `load`, `open_data`, `collect`, `train` and `evaluate`, each imported on first use (types: __init__.pyi).
"""

from worldmodel import lazy

__version__ = "0.1.0"
__getattr__ = lazy.names(
    __name__, **{"policies.agent": "load", "data.dataset": "open_data", "": "collect evaluate train"}
)
