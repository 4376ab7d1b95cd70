"""Measuring policies: frozen starts, simulators in spawned workers, one batched policy, a report with intervals."""
