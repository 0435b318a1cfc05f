"""The optimizer: OPTIMIZERS is the one table.

    optimizer = build(model, parts, pace, config.train)
    set_lr(optimizer, scale(step, steps, settings)); thaw(optimizer, step / steps)

Groups differ in rate, decay and the share of the steps from which they train. What a checkpoint keeps is the state
of each parameter; everything else follows from the plan and the step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, Parameter

from tuneproof.config import Train
from tuneproof.errors import ConfigError
from tuneproof.methods.parts import Pace, Parts, plain
from tuneproof.optional import need

Groups = list[dict[str, Any]]


def build(model: Module, parts: Parts, pace: Mapping[str, Pace], settings: Train) -> torch.optim.Optimizer:
    """The optimizer that the plan names over what trains: the head faster by its factor, no decay on vectors.

    ``parts`` are those of the model before a method wrapped it; ``pace`` says which parameters are special.
    ConfigError for a layer-wise rate where nothing that trains lies in a layer.
    """
    groups: dict[tuple[float, float, float, bool], list[Parameter]] = {}
    factors = set()
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            own = pace.get(name, Pace())
            depth = _depth(plain(name), parts)
            factors.add(settings.layer_lr_decay**depth)
            head = settings.head_lr_factor if plain(name) in parts.head else 1.0
            decay = settings.weight_decay if parameter.ndim > 1 else 0.0
            inside = parameter.ndim == 2 and plain(name) not in parts.head | parts.embeddings
            key = (head * own.factor * settings.layer_lr_decay**depth, decay, own.begins, inside)
            groups.setdefault(key, []).append(parameter)
    if settings.layer_lr_decay != 1.0 and factors == {1.0}:
        raise ConfigError(
            "train.layer_lr_decay would have no effect: nothing that trains lies below the top layer.", "Leave it out."
        )
    return OPTIMIZERS[settings.optimizer](
        [
            {
                "params": parameters,
                "lr": 0.0,
                "peak": settings.lr * factor,
                "weight_decay": decay,
                "begins": begins,
                "matrices": inside,
            }
            for (factor, decay, begins, inside), parameters in groups.items()
        ]
    )


def _depth(name: str, parts: Parts) -> int:
    """Layers above the one that a parameter belongs to; embeddings lie below all layers, the head above."""
    if name in parts.embeddings:
        return len(parts.layers)
    inside = [index for index, (layer, _) in enumerate(parts.layers) if name.startswith(f"{layer}.")]
    return len(parts.layers) - 1 - inside[0] if inside else 0


def set_lr(optimizer: torch.optim.Optimizer, share: float) -> None:
    """Sets each group to its peak times ``share``."""
    for group in optimizer.param_groups:
        group["lr"] = group["peak"] * share


def thaw(optimizer: torch.optim.Optimizer, done: float) -> bool:
    """Lets train what begins by the share ``done`` of the steps, and nothing else; whether anything changed."""
    changed = False
    for group in optimizer.param_groups:
        trains = done >= group["begins"]
        for parameter in group["params"]:
            changed |= parameter.requires_grad != trains
            parameter.requires_grad_(trains)
    return changed


# -- the table


def adamw(groups: Groups) -> torch.optim.Optimizer:
    """AdamW (Loshchilov & Hutter 2019). Fused, each weight is read and written once: on two cores half the time."""
    return torch.optim.AdamW(groups, fused=True)


def adafactor(groups: Groups) -> torch.optim.Optimizer:
    """Adafactor (Shazeer & Stern 2018): one number per row and column; its steps are relative to a weight's size."""
    return torch.optim.Adafactor(groups)


def sgd(groups: Groups) -> torch.optim.Optimizer:
    """With Nesterov momentum of .9. Its decay is coupled: it goes through the momentum."""
    return torch.optim.SGD(groups, momentum=0.9, nesterov=True)


def adamw_8bit(groups: Groups) -> torch.optim.Optimizer:
    """AdamW whose moments are kept in 8 bits by blocks of 256 (Dettmers et al. 2022, arXiv 2110.02861)."""
    found: torch.optim.Optimizer = need("bitsandbytes", "qlora").optim.AdamW8bit(groups)
    return found


class Lion(torch.optim.Optimizer):
    """Lion (Chen et al. 2023, arXiv 2302.06675, algorithm 2): the sign of an average is the step.

    c = b1 m + (1 - b1) g;  w -= lr (sign(c) + decay w);  m = b2 m + (1 - b2) g
    """

    def __init__(self, groups: Groups) -> None:
        super().__init__(groups, {"lr": 0.0, "betas": (0.9, 0.99), "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            first, second = group["betas"]
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum: Tensor = state["momentum"]
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(momentum.lerp(parameter.grad, 1 - first).sign_(), alpha=-group["lr"])
                momentum.lerp_(parameter.grad, 1 - second)


class Muon(torch.optim.Optimizer):
    """Muon for the matrices inside the layers, scaled so that AdamW's rates fit; AdamW for all else.

    Jordan et al. 2024 (kellerjordan.github.io/posts/muon); the scale is that of Liu et al. 2025, arXiv 2502.16982.
    """

    def __init__(self, groups: Groups) -> None:
        super().__init__(groups, {})
        inside = [group for group in groups if group["matrices"]]
        others = [group for group in groups if not group["matrices"]]
        self.parts: list[torch.optim.Optimizer] = []
        if inside:
            self.parts.append(torch.optim.Muon(inside, adjust_lr_fn="match_rms_adamw"))
        if others:
            self.parts.append(torch.optim.AdamW(others, fused=True))
        for part in self.parts:
            part.state = self.state

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()


OPTIMIZERS: dict[str, Callable[[Groups], torch.optim.Optimizer]] = {
    "adamw": adamw,
    "adafactor": adafactor,
    "lion": Lion,
    "muon": Muon,
    "sgd": sgd,
    "adamw-8bit": adamw_8bit,
}
