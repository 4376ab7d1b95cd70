"""Types of the names that worldmodel imports on first use."""

from worldmodel.collect.call import collect as collect
from worldmodel.data.dataset import open_data as open_data
from worldmodel.evaluate.call import evaluate as evaluate
from worldmodel.policies.agent import load as load
from worldmodel.train.call import train as train

__version__: str
