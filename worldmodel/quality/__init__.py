"""Data one can trust: is a store healthy, what does it look like, whose is it, and which weights were made from it."""
