"""Whether groups of people are treated alike: selection rate, true and false positive rate per group.

    fairness(groups, predictions, favourable="approved", seed=0)

For each label in question (the favourable one, or each label): per group the share that gets it (demographic parity),
and the shares of those who should and should not get it that do (equalised odds; Hardt, Price and Srebro 2016); then
the largest difference and the smallest ratio between groups, with bootstrap intervals and what would show by chance if
the groups were drawn by lot. Groups with fewer than 30 rows are not shown. It says nothing about why rates differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tuneproof.errors import ConfigError, nearest
from tuneproof.records import Prediction
from tuneproof.stats.bootstrap import corpus_interval
from tuneproof.stats.interval import wilson
from tuneproof.stats.verdicts import FEWEST

Floats = NDArray[np.float64]

TOLD = 100  # rows of the smallest group below which a difference between groups says little
LABELS = 20  # labels that are looked at where no favourable one was named
DRAWS = 999  # random assignments of rows to groups
RATES = {  # name -> columns of the statistics: of which rows, and how many of those were given the label
    "selection_rate": (0, 1),
    "true_positive_rate": (2, 3),
    "false_positive_rate": (4, 5),
}


def fairness(
    groups: Sequence[str], predictions: Sequence[Prediction], favourable: str | None, seed: int
) -> dict[str, Any]:
    """Plain JSON for the report. ConfigError for a favourable label that is none."""
    labels = sorted({str(p.truth) for p in predictions} | {str(p.value) for p in predictions})
    if favourable is not None and favourable not in labels:
        raise ConfigError(
            f'evaluate.favourable: no test row has the label "{favourable}".',
            nearest(favourable, labels) or f"Labels: {', '.join(labels[:12])}.",
        )
    sizes = Counter(groups)
    shown = sorted(group for group, n in sizes.items() if n >= FEWEST)
    found: dict[str, Any] = {
        "groups": {group: sizes[group] for group in shown},
        "suppressed": len(sizes) - len(shown),
        "labels": [],
        "note": "",
    }
    if len(shown) < 2:
        found["note"] = f"fewer than two groups have {FEWEST} rows, so nothing can be compared"
        return found
    small = min(sizes[group] for group in shown)
    if small < TOLD:
        found["note"] = f"the smallest group has {small} rows: differences between groups cannot be told reliably"
    asked = [favourable] if favourable is not None else _frequent(predictions)
    found["labels"] = [_label(label, groups, shown, predictions, seed) for label in asked]
    return found


def _frequent(predictions: Sequence[Prediction]) -> list[str]:
    return [label for label, _ in Counter(str(p.truth) for p in predictions).most_common(LABELS)]


def _label(
    label: str, groups: Sequence[str], shown: Sequence[str], predictions: Sequence[Prediction], seed: int
) -> dict[str, Any]:
    number = {group: index for index, group in enumerate(shown)}
    kept = [index for index, group in enumerate(groups) if group in number]
    codes = np.array([number[groups[index]] for index in kept])
    cells = _cells([predictions[index] for index in kept], label)
    sums = _sums(cells, codes, len(shown))
    per_group = []
    for index, group in enumerate(shown):
        rates = {name: _rate(sums[index, of], sums[index, hit]) for name, (of, hit) in RATES.items()}
        per_group.append({"group": group, "n": int(sums[index, 0]), **rates})
    spread = {name: _spread(cells, codes, len(shown), columns, seed) for name, columns in RATES.items()}
    return {"label": label, "groups": per_group, "between": spread}


def _cells(predictions: Sequence[Prediction], label: str) -> Floats:
    """(n, 6): row, given; true, true and given; not true, not true and given."""
    given = np.array([str(p.value) == label for p in predictions], dtype=np.float64)
    true = np.array([str(p.truth) == label for p in predictions], dtype=np.float64)
    return np.column_stack([np.ones_like(given), given, true, true * given, 1 - true, (1 - true) * given])


def _sums(cells: Floats, codes: NDArray[np.int64], groups: int) -> Floats:
    """(groups, 6)."""
    found = np.zeros((groups, cells.shape[1]))
    np.add.at(found, codes, cells)
    return found


def _rate(of: float, hit: float) -> dict[str, Any] | None:
    """A share with its Wilson interval; None where there is nobody it could be a share of."""
    if of < 1:
        return None
    found = wilson(int(hit), int(of))
    return {"value": found.value, "low": found.low, "high": found.high, "n": int(of)}


def _spread(
    cells: Floats, codes: NDArray[np.int64], groups: int, columns: tuple[int, int], seed: int
) -> dict[str, Any]:
    """Largest difference and smallest ratio between groups; p and ``chance`` from groups drawn by lot."""
    of, hit = columns
    stats = np.zeros((len(cells), 2 * groups))  # [of | hit] by group
    rows = np.arange(len(cells))
    stats[rows, codes], stats[rows, groups + codes] = cells[:, of], cells[:, hit]
    found: dict[str, Any] = {}
    for name, metric in (("difference", _widest(groups)), ("ratio", _least_ratio(groups))):
        whole = corpus_interval(stats, metric, seed=seed)
        found[name] = {"value": whole.value, "low": whole.low, "high": whole.high, "note": whole.note}
    found["chance"], found["p"] = _by_lot(cells[:, [of, hit]], codes, groups, found["difference"]["value"], seed)
    return found


def _rates(sums: Floats, groups: int) -> Floats:
    """(..., 2 groups) -> (..., groups), NaN for a group without anybody."""
    of, hit = sums[..., :groups], sums[..., groups:]
    return np.asarray(np.where(of > 0, hit / np.where(of > 0, of, 1.0), np.nan))


def _widest(groups: int) -> Callable[[Floats], Floats]:
    def metric(sums: Floats) -> Floats:
        rates = _rates(sums, groups)
        return np.asarray(rates.max(axis=-1) - rates.min(axis=-1))

    return metric


def _least_ratio(groups: int) -> Callable[[Floats], Floats]:
    def metric(sums: Floats) -> Floats:
        rates = _rates(sums, groups)
        most = rates.max(axis=-1)
        return np.asarray(np.where(most > 0, rates.min(axis=-1) / np.where(most > 0, most, 1.0), np.nan))

    return metric


def _by_lot(
    pairs: Floats, codes: NDArray[np.int64], groups: int, seen: float | None, seed: int
) -> tuple[float | None, float | None]:
    """The mean largest difference when the rows' groups are shuffled, and how often it reaches the one seen."""
    if seen is None:
        return None, None
    rng = np.random.default_rng([seed, 7])
    drawn = np.empty(DRAWS)
    for index in range(DRAWS):
        mixed = rng.permutation(codes)
        of = np.bincount(mixed, weights=pairs[:, 0], minlength=groups)
        hit = np.bincount(mixed, weights=pairs[:, 1], minlength=groups)
        drawn[index] = _widest(groups)(np.concatenate([of, hit]))
    known = drawn[~np.isnan(drawn)]
    reached = int(np.count_nonzero(known >= seen - 1e-12)) + drawn.size - known.size
    return (float(known.mean()) if known.size else None), (1 + reached) / (DRAWS + 1)
