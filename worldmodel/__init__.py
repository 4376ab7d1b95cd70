"""worldmodel: an open world-action model. Train on one machine, run at control rate, trust by measurement."""

__version__ = "0.1.0"
