"""Measuring policies: fixed initial states, simulators in spawned workers, one batched policy, a report."""
