"""robosuite, in an environment of its own. Imports nothing: its server has no Hydra."""
