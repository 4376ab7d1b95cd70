"""The command `bench`: how fast this machine acts, trains and simulates, and how well the model imagines."""
