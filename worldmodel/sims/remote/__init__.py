"""Simulators that live in a process and an environment of their own. Imports nothing: their side has no Hydra."""
