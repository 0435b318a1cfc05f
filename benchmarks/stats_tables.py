"""The tables of docs/statistics.md: how often our tests err, and what they find, computed rather than believed.

    python benchmarks/stats_tables.py            # prints markdown, under a minute on one core

Sizes, coverage and power on 0/1 scores are exact sums over all outcomes (b, c) of the discordant counts, so they carry
no simulation noise; where that is impossible, draws with a fixed seed. ``tests/proof/test_stats_proof.py`` calls the
same functions with the limits of ACCEPTANCE figures 1 to 3.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, special

from tuneproof import stats
from tuneproof.stats.betting import Harm, excess
from tuneproof.stats.paired import agresti_min, mcnemar, score_z, sign_flip

Floats = NDArray[np.float64]
SIZES = (50, 100, 200, 500, 1000, 2000)
DISAGREEMENTS = (0.04, 0.08, 0.12, 0.16, 0.20)
Z, Z_ONE = float(special.ndtri(0.975)), float(special.ndtri(0.95))


def outcomes(n: int, q: float, gain: float) -> tuple[Floats, Floats, Floats]:
    """All (b, c) with non-negligible probability and that probability, given disagreement q and true B - A ``gain``."""
    width = int(n * q + 9 * np.sqrt(n * q * (1 - q)) + 9)
    only_a, only_b = (q - gain) / 2, (q + gain) / 2
    b, c = np.meshgrid(np.arange(min(n, width) + 1.0), np.arange(min(n, width) + 1.0), indexing="ij")
    far = 7 * np.sqrt(n * q) + 9
    likely = (b + c <= n) & (np.abs(b + c - n * q) <= far) & (np.abs(c - b - n * gain) <= far)
    b, c = b[likely], c[likely]
    log = special.gammaln(n + 1) - special.gammaln(b + 1) - special.gammaln(c + 1) - special.gammaln(n - b - c + 1)
    log += special.xlogy(b, only_a) + special.xlogy(c, only_b) + special.xlogy(n - b - c, 1 - q)
    weight = np.exp(log)
    assert abs(weight.sum() - 1) < 1e-6
    kept = weight > 1e-12  # what is left out sums to less than 1e-6
    return b[kept], c[kept], weight[kept]


def exact_properties(n: int, q: float, gain: float = 0.0, margin: float = 0.02) -> dict[str, float]:
    """Share of outcomes in which each rule fires or the interval holds the truth ``gain``."""
    b, c, weight = outcomes(n, q, gain)
    centre, error = agresti_min(b, c, n)
    low, high = np.maximum(centre - Z * error, -1), np.minimum(centre + Z * error, 1)
    mid, exact = mcnemar(b, c), mcnemar(b, c, mid=False)
    enough = n >= 30
    return {
        "mid": float(weight[mid <= 0.05].sum()),
        "exact": float(weight[exact <= 0.05].sum()),
        "coverage": float(weight[(low <= gain) & (gain <= high)].sum()),
        "better": float(weight[enough & (mid <= 0.05) & (low > 0)].sum()),
        "worse": float(weight[enough & (mid <= 0.05) & (high < 0)].sum()),
        "not_worse": float(weight[enough & (score_z(b, c, n, margin) > Z_ONE)].sum()),
        "not_worse_wald": float(weight[enough & (centre - Z_ONE * error > -margin)].sum()),
    }


def unpaired_z(n: int, q: float, gain: float, accuracy: float = 0.85, draws: int = 20_000) -> tuple[float, float]:
    """How often the unpaired two-proportion z test says "different" and "B better", as an unpaired comparator would."""
    rng = np.random.default_rng(0)
    only_a, only_b = (q - gain) / 2, (q + gain) / 2
    both = accuracy - only_a
    table = rng.multinomial(n, [both, only_a, only_b, 1 - both - only_a - only_b], size=draws)
    a, b = (table[:, 0] + table[:, 1]) / n, (table[:, 0] + table[:, 2]) / n
    pooled = (a + b) / 2
    z = (b - a) / np.maximum(np.sqrt(2 * pooled * (1 - pooled) / n), 1e-12)
    return float((np.abs(z) > Z).mean()), float((z > Z).mean())


def clustered_null(clusters: int, per: int, draws: int = 2_000) -> tuple[float, float, float]:
    """Size at 5% on a null with correlated items: items taken as independent, cluster t, sign flips over clusters."""
    rng = np.random.default_rng(1)
    shared = rng.standard_normal((draws, clusters, 1)) * 0.5 * rng.exponential(1, (draws, clusters, 1))
    gaps = shared + rng.standard_normal((draws, clusters, per)) * 0.5
    n = clusters * per
    flat = gaps.reshape(draws, n)
    naive = np.abs(flat.mean(1) / (flat.std(1, ddof=1) / np.sqrt(n))) > Z
    group = np.repeat(np.arange(clusters), per).tolist()
    errors = np.array([stats.interval.mean_error(row, group)[:2] for row in flat], dtype=np.float64)
    robust = np.abs(errors[:, 0] / errors[:, 1]) > special.stdtrit(clusters - 1, 0.975)
    flips = [sign_flip(row, seed, 999) <= 0.05 for seed, row in enumerate(gaps.sum(axis=2))]
    return float(naive.mean()), float(robust.mean()), float(np.mean(flips))


def macro_f1_null(n: int, classes: int, draws: int = 500) -> tuple[float, float]:
    """Size at 5% of the swap test and coverage of the paired bootstrap for macro-F1 of two equally good models."""
    from tuneproof.tasks import metrics

    rng = np.random.default_rng(2)
    truth = rng.choice(classes, size=(draws, n), p=_skewed(classes))
    models = []
    shared = np.where(rng.random((draws, n)) < 0.85, truth, rng.choice(classes, size=(draws, n)))
    for _ in range(2):
        models.append(np.where(rng.random((draws, n)) < 0.06, rng.choice(classes, size=(draws, n)), shared))
    rejected = covered = 0
    for i in range(draws):
        counts = [one_hot(truth[i], model[i], classes) for model in models]
        found = stats.corpus_difference(*counts, metrics.macro_f1_of, seed=i, replicates=500, flips=499)
        assert found.p is not None and found.low is not None and found.high is not None
        rejected += found.p <= 0.05
        covered += found.low <= 0 <= found.high
    return rejected / draws, covered / draws


def one_hot(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> sparse.csr_array:
    """``metrics.class_counts`` for class numbers, without its loop."""
    n, rows = truth.size, np.arange(truth.size)
    hit = np.flatnonzero(truth == predicted)
    where = (np.concatenate([hit, rows, rows]), np.concatenate([truth[hit], classes + predicted, 2 * classes + truth]))
    return sparse.csr_array((np.ones(where[0].size), where), shape=(n, 3 * classes))


def ece_coverage(n: int, sharpness: float, draws: int = 200) -> tuple[float, float, float, float]:
    """Mean true ECE, mean estimate, mean ``chance``, coverage of the 95% interval; sharpness 1 is calibrated."""
    rng = np.random.default_rng(3)
    found = []
    for i in range(draws):
        chance = 0.5 + 0.5 * rng.beta(4, 1.5, n)
        stated = special.expit(special.logit(np.clip(chance, 0, 1 - 1e-9)) * sharpness)
        seen = stats.calibration_error(stated, rng.random(n) < chance, seed=i, replicates=400)
        true = float(np.abs(stated - chance).mean())
        found.append((true, seen.value, seen.chance, seen.low <= true <= seen.high))
    mean = np.mean(np.array(found, dtype=np.float64), axis=0)
    return float(mean[0]), float(mean[1]), float(mean[2]), float(mean[3])


def _skewed(classes: int) -> Floats:
    share = 1.0 / np.arange(1, classes + 1)
    return share / share.sum()


def _table(head: str, rows: Iterable[str]) -> None:
    print(head, "|" + "--|" * (head.count("|") - 1), *rows, "", sep="\n")


LOOKED_AT = (
    (0.05, 0.02, 0.02),
    (0.05, 0.02, 0.03),  # worse by just the margin
    (0.5, 0.1, 0.1),
    (0.05, 0.0, 1.0),
    (0.05, 0.02, 0.2),
    (0.2, 0.02, 0.1),
    (0.5, 0.1, 0.2),
)


def looked_at(
    share: float, margin: float, old: float, new: float, requests: int = 3000, draws: int = 300
) -> tuple[float, int | None, float]:
    """Canaries stopped by the bet of a server (it is worth a third), the median request when, and those stopped by a
    test made for one look that is looked at after every 100 requests."""
    rng = np.random.default_rng(5)
    limit = np.log(60)
    when: list[int] = []
    naive = 0
    for _ in range(draws):
        sides = rng.random(requests) < share
        bad = rng.random(requests) < np.where(sides, new, old)
        harm = Harm(share, margin)
        for count, (side, was_bad) in enumerate(zip(sides.tolist(), bad.tolist(), strict=True), start=1):
            harm.hear(side, float(was_bad))
            if (side or was_bad) and harm.log_e >= limit:
                when.append(count)
                break
        for count in range(100, requests + 1, 100):
            on_new, on_old = bad[:count][sides[:count]], bad[:count][~sides[:count]]
            if excess(int(on_new.sum()), len(on_new), int(on_old.sum()), len(on_old)) <= 0.05:
                naive += 1
                break
    return len(when) / draws, sorted(when)[len(when) // 2] if len(when) > draws / 2 else None, naive / draws


def slice_rule(parts: int, rows: int, q: float, worse: float = 0.0, draws: int = 10_000) -> tuple[float, float]:
    """How often G4 fails on its first part, or on any where ``worse`` is 0: with Holm over the parts, and without it.

    All parts have so many rows and disagreement q; B is worse than A by ``worse`` in the first alone.
    """
    rng = np.random.default_rng(0)
    b, c = np.empty((draws, parts)), np.empty((draws, parts))
    for part in range(parts):
        gap = worse if part == 0 else 0.0
        table = rng.multinomial(rows, [(q + gap) / 2, (q - gap) / 2, 1 - q], size=draws)
        b[:, part], c[:, part] = table[:, 0], table[:, 1]
    centre, error = agresti_min(b, c, rows)
    open_ = (_holm(special.ndtr(-score_z(b, c, rows, 0.05))) > 0.05) & (centre + Z * error < 0)
    p = mcnemar(b, c)
    seen = slice(0, 1) if worse else slice(None)
    corrected, alone = (float((open_ & (each <= 0.05))[:, seen].any(axis=1).mean()) for each in (_holm(p), p))
    return corrected, alone


def _holm(p: Floats) -> Floats:
    """``verdicts.holm`` of each row."""
    order = np.argsort(p, axis=1, kind="stable")
    steps = np.take_along_axis(p, order, axis=1) * np.arange(p.shape[1], 0, -1)
    found = np.empty_like(p)
    np.put_along_axis(found, order, np.minimum(1.0, np.maximum.accumulate(steps, axis=1)), axis=1)
    return found


def slice_table() -> None:
    print("### Parts of the rows (G4): share of pairs that are rejected, p corrected by Holm / each part by itself\n")
    cases = [(rows, q, 0.0) for rows in (130, 400) for q in (0.08, 0.25)]
    cases += [(130, 0.14, 0.10), (130, 0.19, 0.15), (300, 0.14, 0.10)]
    table = []
    for parts in (1, 3, 10, 30):
        cells = [slice_rule(parts, *case) for case in cases]
        table.append(f"| {parts} | " + " | ".join(f"{new:.3f} / {old:.3f}" for new, old in cells) + " |")
    told = [
        f"{rows} rows, q={q:.0%}: " + (f"{100 * worse:.0f} points worse in one" if worse else "equal")
        for rows, q, worse in cases
    ]
    _table("| parts | " + " | ".join(told) + " |", table)


def main() -> None:
    started = time.perf_counter()
    print("### No true difference: share of test sets on which a difference is claimed (nominal 5%)\n")
    rows = []
    for n in SIZES:
        for q in DISAGREEMENTS:
            at = exact_properties(n, q)
            rows.append(
                f"| {n} | {q:.0%} | {unpaired_z(n, q, 0.0, draws=2_000)[0]:.3f} | {at['exact']:.3f} | {at['mid']:.3f} "
                f"| {at['coverage']:.3f} | {at['better']:.3f} |"
            )
    head = '| n | disagreement | unpaired z | McNemar exact | mid-p | Agresti-Min coverage | verdict "better" |'
    _table(head, rows)
    print('### B truly worse by exactly the margin m: share in which "not worse" is claimed (nominal 5%)\n')
    print("Score test (ours) / Wald test with the Agresti-Min error.\n")
    cases = [(m, q) for m in (0.01, 0.02, 0.05) for q in (0.05, 0.08, 0.20)]
    rows = []
    for n in SIZES:
        found = [exact_properties(n, q, -m, m) for m, q in cases]
        rows.append(f"| {n} | " + " | ".join(f"{x['not_worse']:.3f} / {x['not_worse_wald']:.3f}" for x in found) + " |")
    _table("| n | " + " | ".join(f"m={m:.0%} q={q:.0%}" for m, q in cases) + " |", rows)
    print("### B truly better by 3 points (disagreement 8%, accuracy .85): share in which it is found\n")
    rows = []
    for n in SIZES:
        at, apart = exact_properties(n, 0.08, 0.03), unpaired_z(n, 0.08, 0.03)[1]
        ratio = f"{at['mid'] / apart:.1f}x" if apart > 0 else "-"
        rows.append(
            f"| {n} | {apart:.3f} | {at['exact']:.3f} | {at['mid']:.3f} | {at['better']:.3f} | {ratio} "
            f"| {at['coverage']:.3f} |"
        )
    _table('| n | unpaired z | McNemar exact | mid-p | verdict "better" | mid-p / unpaired | coverage |', rows)
    print('### B truly worse by 1 point: share in which it is promoted as "better"\n')
    rows = []
    for n in SIZES:
        cells = [exact_properties(n, q, -0.01)["better"] for q in DISAGREEMENTS]
        rows.append(f"| {n} | " + " | ".join(f"{x:.4f}" for x in cells) + " |")
    _table("| n | " + " | ".join(f"q={q:.0%}" for q in DISAGREEMENTS) + " |", rows)
    print("### Correlated items (clusters of 10), no true difference: size at a nominal 5%, 2,000 draws\n")
    rows = []
    for count in (8, 15, 30, 100):
        cells = clustered_null(count, 10, draws=1_000 if count == 100 else 2_000)
        rows.append(f"| {count} | " + " | ".join(f"{x:.3f}" for x in cells) + " |")
    _table("| clusters | items as independent | cluster t | sign flips |", rows)
    print("### macro-F1, skewed classes, two equally good models, 500 draws\n")
    rows = []
    for n, classes in ((200, 5), (1000, 20)):
        size, coverage = macro_f1_null(n, classes)
        rows.append(f"| {n} | {classes} | {size:.3f} | {coverage:.3f} |")
    _table("| n | classes | size of the swap test | coverage of the paired bootstrap |", rows)
    print("### ECE: bias and coverage, 200 draws\n")
    rows = []
    for n in (300, 1000, 5000):
        for sharpness in (1.0, 1.5, 2.5):
            true, seen, chance, coverage = ece_coverage(n, sharpness)
            rows.append(f"| {n} | {true:.3f} | {seen:.3f} | {chance:.3f} | {coverage:.3f} |")
    _table("| n | true ECE | mean estimate | mean `chance` | coverage of the interval |", rows)
    print("### Looking after every answer: share of 300 canaries of 3,000 requests that are stopped\n")
    rows = []
    for share, old, new in LOOKED_AT:
        stopped, when, naive = looked_at(share, 0.01, old, new)
        after = f"{when:,}" if when is not None else "-"
        rows.append(f"| {share:.0%} | {old:.0%} | {new:.0%} | {stopped:.3f} | {after} | {naive:.3f} |")
    _table(
        "| share | bad, champion | bad, canary | by the bet | requests until then | by Fisher's test after every 100 |",
        rows,
    )
    slice_table()
    print(f"Made in {time.perf_counter() - started:.0f} s.")


if __name__ == "__main__":
    main()
