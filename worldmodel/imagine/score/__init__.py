"""The command `score`: the scorecard of a checkpoint on recordings, open loop, where no simulator is needed."""
