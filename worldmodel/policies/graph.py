"""A model's ``act`` as one ONNX graph of standard operations: observation, all sampling steps, units in and out.

Written by hand, not traced: noise levels are known beforehand, so each pass's modulation is folded into constants of
its normalisations and matrices, and so are the range of pixels and the angles of positions. That leaves a third of the
operations, and takes a tenth of a second instead of ten. Tests hold every kind of model to its graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from worldmodel.backbone.block import Block
from worldmodel.flow.sampler import even_levels, regression_grid
from worldmodel.model import WorldModel

OPSET, FORMAT = 23, 11
"""The first set of ONNX operations with attention, rotary embedding and RMS norm; the file format that goes with it."""


def unusual(model: WorldModel) -> str:
    """Why a model's ``act`` cannot be written as a graph; empty where it can."""
    return f"it observes {', '.join(model.config.modalities)}" if model.config.modalities else ""


class Graph:
    """Operations in order, and constants, each once. A value goes by its name; what is no name becomes a constant."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[tuple[Any, ...], onnx.TensorProto] = {}
        self.inputs: dict[str, onnx.ValueInfoProto] = {}

    def __call__(self, operation: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add one operation; the name of its output, or of each of several."""
        names = [f"{operation}.{len(self.nodes)}.{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operation, [self.name(value) for value in inputs], names, **attributes))
        return names[0] if outputs == 1 else names

    def name(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        array = np.ascontiguousarray(value.detach().numpy() if isinstance(value, Tensor) else value)
        array = array.astype(np.float32) if array.dtype.kind == "f" else array
        key = (array.tobytes(), array.dtype.str, array.shape)
        if key not in self.constants:
            self.constants[key] = numpy_helper.from_array(array, f"constant.{len(self.constants)}")
        return self.constants[key].name

    def given(self, name: str, kind: int, *sizes: int) -> str:
        """An input, with its leading batch axis."""
        self.inputs[name] = helper.make_tensor_value_info(name, kind, ["batch", *sizes])
        return name

    def shape(self, value: str, *sizes: int) -> str:
        return self("Reshape", value, np.array(sizes, np.int64))

    def linear(self, value: str, layer: Any, gate: Any = None, first: int = 0) -> str:
        """A linear layer of rows, from its output ``first`` on, times a gate."""
        weight, bias = layer.weight[first:], layer.bias[first:]
        if isinstance(gate, Tensor):
            weight, bias = weight * gate[:, None], bias * gate
        out = self("Gemm", value, weight.T, bias)
        return self("Mul", out, gate) if isinstance(gate, str) else out

    def embed(self, value: str, layers: Any) -> str:
        """Linear, SiLU, linear."""
        hidden = self.linear(value, layers[0])
        return self.linear(self("Mul", hidden, self("Sigmoid", hidden)), layers[2])

    def norm(self, value: str, shift: Any, scale: Any) -> str:
        """Layer normalisation, times ``scale``, plus ``shift``."""
        if isinstance(scale, Tensor):
            return self("LayerNormalization", value, scale, shift, axis=-1, epsilon=1e-6)
        whole = self("LayerNormalization", value, np.ones(1, np.float32), axis=-1, epsilon=1e-6)
        return self("Add", self("Mul", whole, scale), shift)


class ActGraph(Graph):
    """The graph of one model with so many sampling steps.

    Inputs: ``images`` uint8 (B, C, H, W, 3), cameras in the model's order; ``state`` float32 (B, S), physical units;
    ``task`` int64 (B,), or where the model reads ``instruction`` int64 (B, words); ``noise`` float32 (B, H, A),
    standard normal; where the model continues committed actions ``prefix`` float32 (B, H, A), physical units, of which
    the first ``committed`` int64 (B,) count. Output: ``actions`` float32 (B, H, A), physical units. H: chunk_size.
    Raises ValueError where `unusual` says why.
    """

    def __init__(self, model: WorldModel, steps: int = 2) -> None:
        super().__init__()
        if why := unusual(model):
            raise ValueError(f"this model cannot be written as a graph: {why}")
        self.model, self.config = model, model.config
        self.width, self.heads = self.config.backbone.width, self.config.backbone.heads
        self.levels = even_levels(steps) if self.config.sampler == "flow" else regression_grid(self.config.sampler)
        self.known: str | None = None
        """Which action tokens are committed, bool (B * chunk_size, 1)."""
        with torch.no_grad():
            self._build()

    def proto(self, **facts: str) -> onnx.ModelProto:
        """The whole file, with its metadata."""
        size = (self.config.chunk_size, self.config.action_dim)
        out = helper.make_tensor_value_info("actions", TensorProto.FLOAT, ["batch", *size])
        graph = helper.make_graph(self.nodes, "act", [*self.inputs.values()], [out], [*self.constants.values()])
        versions = [helper.make_opsetid("", OPSET)]
        whole = helper.make_model(graph, opset_imports=versions, ir_version=FORMAT, producer_name="worldmodel")
        helper.set_model_props(whole, facts)
        return whole

    def _build(self) -> None:
        config, actions = self.config, self.model.actions
        state, steps = self.given("state", TensorProto.FLOAT, config.state_dim), config.chunk_size
        cache, relative = self._observe(state), np.eye(config.state_dim, config.action_dim, dtype=np.float32)
        relative[:, config.relative :] = 0
        origin = self.shape(self("MatMul", state, relative), -1, 1, config.action_dim)
        values = self.given("noise", TensorProto.FLOAT, steps, config.action_dim)
        values = values if config.sampler == "flow" else self("Mul", values, np.float32(0))
        commit = lambda values: values  # noqa: E731
        if config.prefix:
            prefix = self.given("prefix", TensorProto.FLOAT, steps, config.action_dim)
            count = self.shape(self.given("committed", TensorProto.INT64), -1, 1, 1)
            known = self("Less", np.arange(steps)[None, :, None], count)
            clean = self._encode(self("Sub", prefix, origin), actions.scaling)
            self.known = self.shape(known, -1, 1)
            commit = lambda values: self("Where", known, clean, values)  # noqa: E731
        turn = self._turn(actions.when(None, config.control_hz, torch.device("cpu")))
        for now, then in pairwise(self.levels):
            tokens = self.embed(self.shape(commit(values), -1, config.action_dim), actions.embed)
            tokens = self.shape(self("Add", self.shape(tokens, -1, steps, self.width), actions.slot), -1, self.width)
            for block, past in zip(self._blocks(), cache, strict=True):
                tokens, _ = self._block(tokens, block, now, turn, past)
            tokens = self.norm(tokens, *self._modulation(now, self.model.backbone.final))
            read = self.linear(tokens, actions.head)
            read = commit(self.shape(read, -1, steps, config.action_dim))
            values = self("Add", read, self("Mul", self("Sub", values, read), np.float32(then / now))) if then else read
        ranges = actions.scaling
        snapped = self("Where", self("Less", values, np.float32(0)), np.float32(-1), np.float32(1))
        values = self("Add", self("Where", ranges.binary, snapped, values), np.float32(1))
        values = self("Add", self("Mul", values, (ranges.high - ranges.low) / 2), ranges.low)
        self.nodes.append(helper.make_node("Add", [values, origin], ["actions"]))

    def _observe(self, state: str) -> list[Sequence[str]]:
        """Keys and values of the observation's tokens in every block."""
        model, config = self.model, self.config
        parts: list[tuple[str, Tensor]] = []
        here, cache = torch.device("cpu"), list[Sequence[str]]()
        if config.cameras:
            parts.append((self._frames(), model.frames.positions(torch.zeros(1))))
        scaled = self._encode(state, model.proprioception.scaling)
        parts.append((self.embed(scaled, model.proprioception.embed), model.proprioception.positions(here)))
        told, where = model.instruction, model.instruction.positions(here)
        name, sizes = ("instruction", (len(where),)) if config.words else ("task", ())
        words = self("Gather", told.embed.weight, self.given(name, TensorProto.INT64, *sizes))
        parts.append((self("Add", words, told.slot) if config.words else words, where))
        tokens = [self.shape(values, -1, len(positions), self.width) for values, positions in parts]
        turn = self._turn(torch.cat([positions for _, positions in parts]))
        x = self.shape(self("Concat", *tokens, axis=1), -1, self.width)
        for number, block in enumerate(self._blocks(), 1):
            if number == config.backbone.depth:  # only keys and values: nothing reads what would follow
                _, *last = self._project(self.norm(x, *self._modulation(0, block.modulation)[:2]), block, turn, 2)
                cache.append([self("Transpose", self._heads(each, turn), perm=[0, 2, 1, 3]) for each in last])
            else:
                x, kept = self._block(x, block, 0, turn)
                cache.append([*kept])
        return cache

    def _frames(self) -> str:
        """Tokens of the frames. The stem's first layer reads cells of 4 x 4 pixels: rows of 12 numbers each."""
        frames, size = self.model.frames, self.config.size
        images = self.given("images", TensorProto.UINT8, len(frames.cameras), size, size, 3)
        x = self.shape(self("Cast", images, to=TensorProto.FLOAT), -1, 1, size, 3 * size)
        cells, *rest = [layer for layer in frames.stem if isinstance(layer, nn.Conv2d)]
        assert cells.bias is not None
        bias = cells.bias - cells.weight.sum((1, 2, 3))  # pixels are x / 127.5 - 1
        x = self("Conv", x, cells.weight.view(-1, 1, 4, 12) / 127.5, bias, strides=[4, 12])
        for layer in rest:
            x = self("Conv", self("Gelu", x), layer.weight, layer.bias, strides=[2, 2], pads=[1, 1, 1, 1])
        x = self.shape(x, -1, len(frames.cameras), self.width, frames.grid**2)
        return self("Add", self("Transpose", x, perm=[0, 1, 3, 2]), frames.slot)

    def _blocks(self) -> list[Any]:
        return list(self.model.backbone.blocks)[: self.config.backbone.depth]

    def _encode(self, values: str, ranges: Any) -> str:
        """Physical units to model units (see `Scaling`)."""
        scaled = self("Mul", self("Sub", values, ranges.low), 2 / (ranges.high - ranges.low))
        return self("Sub", scaled, np.float32(1))

    def _modulation(self, level: float, offset: Tensor) -> list[Any]:
        """Shift, scale (from one) and gate of tokens at a noise level; computed where some of them are committed."""

        def at(level: float) -> Tensor:
            shared = self.model.backbone.noise(torch.full((1, 1), float(level)))[0, 0]
            parts = (shared[: len(offset)] + offset).split(self.width)
            return torch.stack([part + (number % 3 == 1) for number, part in enumerate(parts)])

        if self.known is None or not level:
            return list(at(level))
        mixed = self("Where", self.known, at(0.0).flatten(), at(level).flatten())
        count = len(offset) // self.width
        return list(self("Split", mixed, outputs=count, axis=-1, num_outputs=count))

    def _turn(self, positions: Tensor) -> tuple[Any, ...]:
        """Cosines, sines and row numbers (B, N) of tokens at these positions, and N."""
        batch = self("Shape", "state", start=0, end=1)
        rows = self("Expand", np.arange(len(positions))[None], self("Concat", batch, np.array([1]), axis=0))
        return *self.model.backbone.rotary(positions), rows, len(positions)

    def _heads(self, values: str, turn: tuple[Any, ...]) -> str:
        return self.shape(values, -1, turn[-1], self.heads, self.width // self.heads)

    def _project(self, x: str, block: Block, turn: tuple[Any, ...], parts: int = 3) -> list[Any]:
        """Queries, keys and values, (B, N, width) each; of ``parts`` 2 no queries."""
        layer, scales = block.attention, (block.attention.scale_q, block.attention.scale_k)
        x = self.linear(x, layer.qkv, first=(3 - parts) * self.width)
        x = self.shape(x, -1, turn[-1], parts * self.heads, self.width // self.heads)
        *turned, values = self("Split", x, outputs=parts, axis=2, num_outputs=parts)
        found: list[Any] = [None] * (3 - parts)
        for part, scale in zip(turned, scales[3 - parts :], strict=True):
            unit = self("RMSNormalization", part, scale, axis=-1, epsilon=1e-6)
            flat = self.shape(unit, -1, turn[-1], self.width)
            found.append(self("RotaryEmbedding", flat, *turn[:3], num_heads=self.heads))
        return [*found, self.shape(values, -1, turn[-1], self.width)]

    def _block(
        self, x: str, block: Block, level: float, turn: tuple[Any, ...], past: Sequence[str] = ()
    ) -> tuple[str, Sequence[str]]:
        """Tokens (B * N, width) after a block, and the keys and values that later ones attend to."""
        shift, scale, gate, shift_mlp, scale_mlp, gate_mlp = self._modulation(level, block.modulation)
        qkv, heads = self._project(self.norm(x, shift, scale), block, turn), self.heads
        earlier = ("", *past) if past else ()
        read, *kept = self("Attention", *qkv, *earlier, outputs=3, q_num_heads=heads, kv_num_heads=heads)
        x = self("Add", x, self.linear(self.shape(read, -1, self.width), block.attention.out, gate))
        hidden = self("Gelu", self.linear(self.norm(x, shift_mlp, scale_mlp), block.mlp[0]))
        return self("Add", x, self.linear(hidden, block.mlp[2], gate_mlp)), kept
