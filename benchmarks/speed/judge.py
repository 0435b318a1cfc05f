"""The loss of a trained model on rows of ids, in fp32 and row by row: the same lines for either side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch


@torch.no_grad()
def judge(model: Any, rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Mean loss over learnt tokens (or rows), and the share of rows whose class is the likeliest."""
    total, units, right = 0.0, 0, 0
    for row in rows:
        logs = model(input_ids=torch.tensor([row["ids"]])).logits[0].float().log_softmax(-1)
        if "label" in row:
            total -= float(logs[row["label"]])
            right += int(logs.argmax()) == row["label"]
            units += 1
        else:
            learnt = [at for at, on in enumerate(row["loss"]) if on and at]
            total -= sum(float(logs[at - 1, row["ids"][at]]) for at in learnt)
            units += len(learnt)
    return {"loss": total / units, "right": right / len(rows)}
