"""The number format follows what the processor multiplies fast."""

import pytest
import torch

from worldmodel.backbone import fast_dtype


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ({"amx_bf16": True, "avx512_bf16": True, "avx512_fp16": True}, torch.bfloat16),
        ({"avx512_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": True, "avx512_fp16": True}, torch.float32),
        ({"avx2": True}, torch.float32),
    ],
)
def test_bfloat16_is_taken_where_it_is_faster(
    monkeypatch: pytest.MonkeyPatch, has: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: has)
    assert fast_dtype("cpu") == expected
    assert fast_dtype("cuda") == torch.bfloat16
