"""How a model computes, whatever it computes: precision, attention, adapters. Knows no task, no method and no stage.

    prepared(model, "bf16")                  # before training: frozen weights in bf16, attention by length
    with cast_once(model, "bf16"): ...       # around a pass over many batches
    with side_by_side(model, ids, ...): ...  # around one batch: no padding, shared beginnings once
    summed_loss(states, head, targets)       # without all logits at once

Every part has a plain counterpart that it must agree with: transformers' and peft's own layers, and train/plain.py.
"""

from tuneproof.compute.attention import attention_by_length
from tuneproof.compute.lora import adapted_at_once
from tuneproof.compute.packing import side_by_side
from tuneproof.compute.precision import cast_once, prepared
from tuneproof.compute.vocabulary import loss_and_hit, summed_loss

__all__ = [
    "adapted_at_once",
    "attention_by_length",
    "cast_once",
    "loss_and_hit",
    "prepared",
    "side_by_side",
    "summed_loss",
]
