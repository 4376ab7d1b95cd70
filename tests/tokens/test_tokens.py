"""Tokens: packing then unpacking is the identity, and every token knows its place and its noise."""

import pytest
import torch

from worldmodel.tokens import Actions, Frames, Scaling, TokenSequence
from worldmodel.tokens.next_step import GAIN, PARTS, POINTS, UNIT, MaskedWarps
from worldmodel.tokens.sequence import concat
from worldmodel.tokens.task import index_of


def test_frames_survive_patching_and_bytes() -> None:
    frames = Frames(("scene", "wrist"), size=32, patch=16, width=32)
    seen = torch.randint(0, 256, (2, 3, 2, 32, 32, 3), dtype=torch.uint8)
    patches = frames.patches(frames.encode(seen))
    assert patches.shape == (2, 3 * frames.per_time, 16 * 16 * 3)
    assert torch.equal(frames.decode(frames.assemble(patches, times=3)), seen)


def test_frame_places_are_seconds_rows_and_columns() -> None:
    frames = Frames(("scene", "wrist"), size=32, patch=16, width=32)
    positions = frames.positions(torch.tensor([[0.2, 0.4]]))
    assert positions.shape == (1, 2 * 2 * 4, 3)
    assert torch.equal(positions[0, :8, 0], torch.full((8,), 0.2)) and torch.equal(
        positions[0, 8:, 0], torch.full((8,), 0.4)
    )
    assert positions[0, :4, 1:].tolist() == [[0.25, 0.25], [0.25, 0.75], [0.75, 0.25], [0.75, 0.75]]


def test_a_patch_only_moves_the_tokens_near_it() -> None:
    frames = Frames(("scene",), size=96, patch=16, width=32)
    patches = torch.zeros(1, 36, 768)
    changed = patches.clone()
    changed[0, 0] = 1.0  # the top left patch
    moved = (frames.tokens(changed) - frames.tokens(patches)).abs().amax(-1)[0] > 1e-6
    assert moved.nonzero().flatten().tolist() == [0, 1, 6, 7], "the stem overlaps neighbours, and only those"


def test_frames_start_as_a_copy_of_the_last_ones() -> None:
    frames = Frames(("scene",), size=32, patch=16, width=32)
    last = torch.rand(1, 4, 768)
    painted = frames.read(torch.randn(1, 8, 32), last)
    assert torch.allclose(painted, torch.sigmoid(torch.tensor(2.0)) * last.repeat(1, 2, 1))


def test_masked_warps_keep_the_last_frame_at_first_and_fetch_pixels_from_where_they_say() -> None:
    warps, last = MaskedWarps(32, 16), torch.rand(2, 32, 32, 3)
    features = torch.randn(2, 4, 32)
    masks = warps.pixels.bias.data.view(256, 3 + PARTS)[:, 3:]
    masks[:, 1] = -400.0  # no paint
    torch.testing.assert_close(warps(features, last), last, atol=1e-5, rtol=0)
    masks[:, 2] = 400.0  # the first displacement alone: from three pixels right and one above
    warps.fields.bias.data.view(POINTS**2, 2, 2)[:, 0] = torch.tensor([3.0, -1.0]) / (UNIT * GAIN)
    found = warps(features, last)
    torch.testing.assert_close(found[:, 1:, :-3], last[:, :-1, 3:], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[:, 1:, -1], last[:, :-1, -1], atol=1e-4, rtol=0)


@pytest.mark.parametrize(("size", "patch"), [(30, 16), (96, 10), (96, 12)])
def test_sizes_that_do_not_fit_are_named(size: int, patch: int) -> None:
    with pytest.raises(ValueError, match=str(patch)):
        Frames(("scene",), size=size, patch=patch, width=32)


def test_actions_are_relative_to_the_state_and_come_back() -> None:
    actions = Actions(chunk_size=4, dim=4, relative=3, width=32, control_hz=20.0)
    state = torch.tensor([[0.5, -0.1, 0.2, 0.08]])
    chunk = torch.rand(1, 4, 4)
    assert torch.allclose(actions.origin(state)[0, 0], torch.tensor([0.5, -0.1, 0.2, 0.0]))
    assert torch.allclose(actions.decode(actions.encode(chunk, state), state), chunk, atol=1e-6)
    assert actions.when(None, 20.0, chunk.device)[:, 0].tolist() == pytest.approx([0.05, 0.1, 0.15, 0.2])


def test_scaling_finds_ranges_degenerate_and_binary_dimensions() -> None:
    scaling = Scaling((3,))
    values = torch.stack([torch.linspace(0, 10, 1001), torch.full((1001,), 7.0), torch.ones(1001)], dim=-1)
    values[::2, 2] = -1.0
    scaling.fit(values)
    low, high, flat = scaling.low, scaling.high, scaling.encode(torch.tensor([5.0, 7.01, 0.0]))
    assert (low[0].item(), high[0].item()) == pytest.approx((0.1, 9.9), abs=0.02)
    assert flat.tolist() == pytest.approx([0.0, 0.01, 0.0], abs=1e-3), "noise in a flat dimension stays small"
    assert scaling.binary.tolist() == [False, False, True]
    assert scaling.decode(torch.tensor([0.0, 0.0, 0.3]))[2] == 1.0


def test_scaling_refuses_what_it_cannot_fit() -> None:
    with pytest.raises(ValueError, match="not finite"):
        Scaling((1,)).fit(torch.tensor([[float("nan")]]))
    with pytest.raises(ValueError, match=r"\(2,\)"):
        Scaling((1,)).fit(torch.zeros(5, 2))


def test_joined_streams_keep_their_noise() -> None:
    def stream(tokens: int, levels: list[float], level_index: list[int]) -> TokenSequence:
        return TokenSequence(
            torch.zeros(1, tokens, 8), torch.zeros(tokens, 3), torch.tensor([levels]), torch.tensor([level_index])
        )

    both = concat([stream(2, [0.1, 0.9], [1, 0]), stream(3, [0.5], [0, 0, 0])])
    assert len(both) == 5
    assert both.levels[0, both.level_index[0]].tolist() == pytest.approx([0.9, 0.1, 0.5, 0.5, 0.5])


def test_an_unknown_task_gets_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="Did you mean 'place_can'"):
        index_of("place_cam", ("place_can", "lift_can"))
