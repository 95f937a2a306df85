"""Imports what a trial needs, and nothing else: for processes that wait for one.

torch imports its compiler when the first optimizer is made, whether anything is compiled or not.
"""

from __future__ import annotations

import torch._dynamo

import study.checkpoint
import study.training
import study.tuning.trainable
import study.usage

__all__ = ["study", "torch"]
