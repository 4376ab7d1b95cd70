"""Measuring policies: fixed initial states, simulators in spawned workers, one batched policy, a report."""

from worldmodel import lazy

lazy.callable_package(__name__, "call")
