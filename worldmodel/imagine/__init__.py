"""``worldmodel imagine``: any of the five modes on recorded moments, measured and drawn beside what was recorded."""

from worldmodel.imagine.verb import Answer, ImagineConfig, ask, imagine

__all__ = ["Answer", "ImagineConfig", "ask", "imagine"]
