"""``python -m research.imagination``: judges a checkpoint's imagination by what it predicts; writes report.json."""
