"""The weights of each arm's best replicate, kept beside the record where a study asks for them.

    ROOT/NAME/DIGEST/models/ARM/INDEX.safetensors

Whoever has trained a replicate keeps its weights and removes those that are no better any more, so an arm's
folder holds one file, and for moments a few. Nothing is pickled.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors.torch
from safetensors import SafetensorError, safe_open

from study.errors import RecordError, one_line
from study.record import write_whole
from study.trial import TrialResult

if TYPE_CHECKING:
    from torch import nn

SCORE = "score"


@dataclass(frozen=True)
class BestWeights:
    """A record's folder of weights, by its absolute path, and what makes a replicate better: more of
    ``metric`` where ``sign`` is 1, less where it is -1."""

    folder: Path
    metric: str
    sign: int

    def keep(self, result: TrialResult, network: nn.Module) -> None:
        """Keep a replicate's weights unless its arm has better ones, or it has no number to be judged by.
        OSError where they cannot be written."""
        if self.metric not in result.metrics:
            return
        path = self.path(result)
        path.parent.mkdir(parents=True, exist_ok=True)
        tensors = {
            name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()
        }
        score = {SCORE: repr(result.metrics[self.metric])}
        write_whole(path, safetensors.torch.save(tensors, score), writer=f".{os.getpid()}")
        ranks = {each: self._rank(each) for each in path.parent.glob("*.safetensors")}
        for other, rank in ranks.items():
            if rank < max(ranks.values()):
                other.unlink(missing_ok=True)

    def load(self, result: TrialResult, network: nn.Module) -> bool:
        """Give ``network`` the replicate's weights; False where there are none, or those of another training.
        RecordError where the file is not what was written, or fits another network."""
        path = self.path(result)
        if not path.is_file() or score_in(path) != result.metrics[self.metric]:
            return False
        try:
            network.load_state_dict(safetensors.torch.load_file(path))
        except (SafetensorError, RuntimeError) as error:
            raise RecordError(
                f"{path}: does not fit its network ({one_line(str(error))[:100]}); remove it, and the trial "
                "is trained again when it is promoted"
            ) from error
        return True

    def path(self, result: TrialResult) -> Path:
        return self.folder / result.config.arm / f"{result.config.index}.safetensors"

    def _rank(self, path: Path) -> tuple[float, int]:
        """Better is greater; of equals the one with the lower index, as in the record."""
        score = score_in(path)
        return (-float("inf") if score is None else self.sign * score, -int(path.stem))


def score_in(path: Path) -> float | None:
    """The score that was written with the weights; None where another process has just removed them."""
    try:
        with safe_open(path, "pt") as file:
            return float(file.metadata()[SCORE])
    except FileNotFoundError:
        return None
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path}: holds no weights of a replicate; remove it") from error
