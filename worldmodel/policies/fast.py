"""The quick way to act on a processor: a model's graph in ONNX Runtime, float32, beside torch in a third of its time.

This is the one place that chooses. The graph is written anew whenever a model is loaded, so that none can be older than
its weights, and compared with the model once: together a fifth of a second.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldmodel.model import Given, WorldModel
from worldmodel.tokens.task import SENTENCE

AGREE = 1e-4
"""How far apart actions of graph and model may be, beside the largest of them, or 1: ten times what rounding does."""

_said: set[str] = set()


class FastAct:
    """A model's ``act`` with so many sampling steps, on as many threads as torch has when it is made.

    Weights are copied: make it before they are held in another format than float32. Raises ImportError where ONNX
    Runtime is missing, ValueError where the model cannot be written as a graph, or acts otherwise in it.
    """

    def __init__(self, model: WorldModel, steps: int) -> None:
        import onnxruntime

        from worldmodel.policies.graph import ActGraph

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = torch.get_num_threads(), 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # simulators want the cores meanwhile
        file, providers = ActGraph(model, steps).proto().SerializeToString(), ["CPUExecutionProvider"]
        self.config, self.usual = model.config, model.instruction.usual if model.config.words else None
        given, noise = example(model)
        try:
            self.session = onnxruntime.InferenceSession(file, options, providers=providers)
            self.inputs = {each.name for each in self.session.get_inputs()}
            found, expected = self(given, noise), model.act(given, steps, noise).numpy()
        except Exception as error:  # its errors have no class in common
            raise ValueError(f"ONNX Runtime {onnxruntime.__version__}: {' '.join(str(error).split())[:200]}") from error
        if not np.allclose(found, expected, atol=AGREE * max(1, np.abs(expected).max())):
            raise ValueError(f"ONNX Runtime {onnxruntime.__version__} gives other actions for this model than torch")

    def __call__(self, given: Given, noise: Tensor) -> np.ndarray:
        """Action chunks, float32 (B, chunk_size, A), physical units, from sampling noise of the same shape."""
        feed: dict[str, Any] = {"images": given.images, "state": given.state, "task": given.task, "noise": noise}
        if self.usual is not None:
            feed["instruction"] = given.more.get(SENTENCE, self.usual[given.task])
        if "prefix" in self.inputs:
            feed["prefix"], feed["committed"] = torch.zeros_like(noise), torch.zeros_like(given.task)
        if given.prefix is not None:
            count = given.count(self.config.prefix)
            if "prefix" in self.inputs:
                feed["committed"] = count
                feed["prefix"][:, : given.prefix.shape[1]] = given.prefix
        arrays = {name: value.numpy() for name, value in feed.items() if name in self.inputs}
        return np.array(self.session.run(None, arrays)[0])


def example(model: WorldModel) -> tuple[Given, Tensor]:
    """One observation and noise, the same at every call."""
    config, random = model.config, torch.Generator().manual_seed(0)
    sizes = (1, len(config.cameras), config.size, config.size, 3)
    images = torch.randint(0, 256, sizes, dtype=torch.uint8, generator=random)
    low, high = model.proprioception.scaling.low, model.proprioception.scaling.high
    state = low + (high - low) * torch.rand(1, config.state_dim, generator=random)
    noise = torch.randn(1, config.chunk_size, config.action_dim, generator=random)
    return Given(images, state, torch.zeros(1, dtype=torch.int64)), noise


def fast_act(model: WorldModel, steps: int, device: str) -> FastAct | None:
    """`FastAct` where the device is the processor; None, with one line on stderr, where torch has to do it."""
    if device != "cpu":
        return None
    try:
        return FastAct(model, steps)
    except ImportError as error:
        why = f"{error.name or 'onnxruntime'} is missing: pip install onnx onnxruntime"
    except ValueError as error:
        why = str(error)
    if why not in _said:
        _said.add(why)
        print(f"worldmodel: acting with torch, which takes about three times as long ({why})", file=sys.stderr)
    return None
