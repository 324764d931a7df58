"""Mask rows on the device where the logits are.

Rows are filled on the CPU by the kernel as int32[n, ceil(V/32)] and travel packed (16 KB for 128k tokens); they are
unpacked by shifts where the logits live. Logits wider than the rows (padded heads) are masked beyond them.
"""

from __future__ import annotations

import torch


def allowed(rows: torch.Tensor, width: int) -> torch.Tensor:
    """int32[n, words] -> bool[n, width], on the device of `rows`; ids beyond the rows are not allowed."""
    shifts = torch.arange(32, device=rows.device, dtype=torch.int32)
    bits = ((rows.unsqueeze(-1) >> shifts) & 1).bool().flatten(1)
    if bits.shape[1] >= width:
        return bits[:, :width]
    return torch.nn.functional.pad(bits, (0, width - bits.shape[1]), value=False)


def apply(logits: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """A copy of float[n, V] logits with -inf wherever the rows say no."""
    return logits.masked_fill(~allowed(rows.to(logits.device), logits.shape[1]), float("-inf"))
