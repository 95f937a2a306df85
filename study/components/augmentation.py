"""Random flips and crops of a whole batch at once; no table, for they combine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor


@dataclass(frozen=True)
class Augmentation:
    """The fields are the hyperparameters.

    ``flip``: mirrored with probability 1/2. ``crop``: shifted by up to ``crop`` pixels each way; what
    comes in from outside has the mean colour (zero once normalised), as in He et al. 2016, 1512.03385.
    """

    flip: bool = False
    crop: Annotated[int, Interval(ge=0, le=16)] = 0

    def draw(self, number: int, generator: torch.Generator) -> Tensor:
        """(number, 3) int64: mirrored (0 or 1), pixels down, pixels right.

        As many random numbers whatever is asked for, so arms that differ in one share the other.
        """
        mirrored, *shift = torch.rand(3, number, generator=generator).unbind()
        moves = [(size * (2 * self.crop + 1)).long().clamp(max=2 * self.crop) - self.crop for size in shift]
        return torch.stack([(mirrored < 0.5).long() * self.flip, *moves], dim=1)

    def gather(self, images: Tensor, index: Tensor, moves: Tensor) -> tuple[Tensor, Tensor | None]:
        """The images (n, h, w, c) at ``index`` (b,), moved by ``moves`` (b, 3): (b, h, w, c); and where
        they lie inside the original, (b, h, w), or None where nothing is shifted.
        """
        if not self.flip and not self.crop:
            return images.index_select(0, index), None
        height, width, channels = images.shape[1:]
        mirrored, down, right = (column.unsqueeze(1) for column in moves.unbind(1))
        rows = torch.arange(height, device=index.device) - down
        columns = torch.arange(width, device=index.device).expand(len(index), width)
        columns = torch.where(mirrored == 1, width - 1 - columns, columns) - right
        inside = (rows == rows.clamp(0, height - 1)).unsqueeze(2) & (
            columns == columns.clamp(0, width - 1)
        ).unsqueeze(1)
        row, column = rows.clamp(0, height - 1).unsqueeze(2), columns.clamp(0, width - 1).unsqueeze(1)
        # By the pixels' numbers in all images: half the time that image, row and column take.
        pixels = (index.view(-1, 1, 1) * height + row) * width + column
        found = images.view(-1, channels).index_select(0, pixels.view(-1))
        return found.view(*pixels.shape, channels), inside if self.crop else None
