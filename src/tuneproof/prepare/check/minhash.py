"""Pairs of texts that are probably alike, for files too large for the exact index: MinHash in 16 bands of 8.

    bands = signatures(texts)                      # (n, 16)
    for one, other in candidates(bands, left, right): ...

Two texts of Jaccard J agree in a band with probability J^8, so a pair is found with probability 1 - (1 - J^8)^16: .95
at .8, .99 at .85, .9999 at .9. The permutations are datasketch's; its index is not used, because its dictionaries take
6 kB per row where an array of bands takes 128 bytes. What comes out still has to be measured. Where more than 64 texts
agree in a band, each is compared with the first 16 of them, so that a file of one template stays linear; that connects
a cluster all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from datasketch import MinHash

from tuneproof.prepare.check.exact import unique_pairs
from tuneproof.prepare.check.shingles import AT_ONCE, Hashes, Whole, blocks, hashed, lengths, spread

BANDS, ROWS = 16, 8
CROWD, SHOWN = 64, 16  # from how many texts in one band on, and with how many of them each is compared
MEMBERS = 4096  # given to datasketch at once: 128 x 4096 x 8 bytes are 4 MB
LINE = 100  # characters that the 1 kB of values of a text weighs when texts are worked on together
LEFT = 4096  # rows looked up at once: at most 16 x 64 pairs each
FACTORS = np.random.default_rng(ROWS).integers(0, 2**63, ROWS, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def signatures(texts: Sequence[str], progress: Callable[[int], None] = lambda done: None) -> Hashes:
    """(n, 16): one hash per text and band. Members are forgotten block by block, so long texts cost time only."""
    bands = np.empty((len(texts), BANDS), np.uint64)
    sketch = MinHash(num_perm=BANDS * ROWS, hashfunc=int)
    for begin, end in blocks(lengths(texts) + LINE, AT_ONCE):
        hashes, sizes = hashed(texts[begin:end])
        short = (hashes >> np.uint64(32)).tolist()  # the upper bits are the well mixed ones
        ends = np.cumsum(sizes).tolist()
        values = np.empty((end - begin, BANDS, ROWS), np.uint64)
        for row, last in enumerate(ends):
            sketch.clear()
            for first in range(ends[row - 1] if row else 0, last, MEMBERS):
                sketch.update_batch(short[first : min(first + MEMBERS, last)])
            values[row] = sketch.hashvalues.reshape(BANDS, ROWS)
        bands[begin:end] = (values * FACTORS).sum(axis=2, dtype=np.uint64)
        progress(end)
    return bands


def candidates(bands: Hashes, left: Whole, right: Whole) -> Iterator[tuple[Whole, Whole]]:
    """(left rows, right rows) that agree in a band, block by block, each pair once."""
    tables = []
    for band in range(BANDS):
        order = right[np.argsort(bands[right, band], kind="stable")]
        tables.append((order, bands[order, band]))
    for begin in range(0, len(left), LEFT):
        rows = left[begin : begin + LEFT]
        found = [_in_band(bands[rows, band], *table) for band, table in enumerate(tables)]
        which = np.concatenate([one[0] for one in found])
        yield unique_pairs(rows[which], np.concatenate([one[1] for one in found]))


def _in_band(asked: Hashes, order: Whole, keys: Hashes) -> tuple[Whole, Whole]:
    first = np.searchsorted(keys, asked, side="left")
    count = np.searchsorted(keys, asked, side="right") - first
    which, at = spread(first, np.where(count > CROWD, SHOWN, count))
    return which, order[at]
