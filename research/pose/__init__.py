"""``python -m research.pose``: trains the reader of poses that judges imagined frames (`worldmodel.imagine.pose`)."""
