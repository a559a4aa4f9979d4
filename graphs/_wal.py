"""Tell a damaged log from one that merely ends in an unfinished write; pure functions.

After an unclean end, SQLite reads its log up to the first frame whose checksum is wrong and passes
over the rest in silence.  That is right for the torn end of a write that nobody was told of, and
wrong for a byte that changed in the middle: everything after it was acknowledged.  The two can be
told apart, because every frame continues the checksum of the frame before it: where a finished
write behind the break is continued by another one, it was acknowledged and is now lost.

What cannot be told apart is damage to the very last write from that write having been torn; there,
as in SQLite itself, the write is gone as a whole, and with it the one before where the damage is in
the mark that ends that one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["loses_commits"]

_HEADER = 32
_FRAME_HEADER = 24
_BIG_ENDIAN = 0x377F0683

Words = NDArray[np.uint32]


def _weights(pairs: int) -> tuple[Words, Words]:
    """Give the weight of each word in the checksum, (2 * pairs, 2), and that of the start, (2, 2).

    One step is s0 += x + s1; s1 += y + s0: linear, so a frame's checksum is a weighted sum.
    """
    step = [[1, 1], [1, 2]]  # how (s0, s1) moves on by one pair
    power, rows = [[1, 0], [0, 1]], []
    for _ in range(pairs):
        (a, b), (c, d) = power
        rows.append([[(a + b) % 2**32, (c + d) % 2**32], [b, d]])  # weights of x and of y
        power = [
            [(a * step[0][0] + b * step[1][0]) % 2**32, (a * step[0][1] + b * step[1][1]) % 2**32],
            [(c * step[0][0] + d * step[1][0]) % 2**32, (c * step[0][1] + d * step[1][1]) % 2**32],
        ]
    words = np.array(rows[::-1], dtype=np.uint32).reshape(2 * pairs, 2)
    return words, np.array(power, dtype=np.uint32).T


def loses_commits(log: bytes, page: int) -> bool:
    """Tell whether a log holds acknowledged writes that SQLite would pass over.

    Args:
        log: The whole `-wal` file.
        page: Bytes of a page.
    """
    size = _FRAME_HEADER + page
    count = (len(log) - _HEADER) // size if len(log) > _HEADER else 0
    if count < 2:
        return False
    head = np.frombuffer(log, dtype=">u4", count=8).astype(np.uint32)
    order = ">u4" if head[0] == _BIG_ENDIAN else "<u4"
    frames = np.frombuffer(log, dtype=np.uint8, offset=_HEADER, count=count * size).reshape(count, size)
    fields = np.ascontiguousarray(frames[:, :_FRAME_HEADER]).view(">u4").astype(np.uint32)  # (n, 6)
    stored = fields[:, 4:6]

    summed = np.concatenate([frames[:, :8], frames[:, _FRAME_HEADER:]], axis=1)
    weights, carry = _weights((8 + page) // 8)
    own = np.ascontiguousarray(summed).view(order).astype(np.uint32) @ weights
    before = np.vstack([head[6:8], stored[:-1]])
    continues = (before @ carry + own == stored).all(axis=1)  # (n,) each frame goes on from the one before

    weights, carry = _weights(3)
    sound = bool((np.frombuffer(log, dtype=order, count=6).astype(np.uint32) @ weights == head[6:8]).all())
    # A log that SQLite began anew may be followed by frames of the old one: both salts differ there,
    # while one changed byte spares one of them.
    salts = fields[:, 2:4] == head[4:6]
    accepted = continues & salts.all(axis=1) if sound else np.zeros(count, dtype=bool)
    end = count if accepted.all() else int(np.argmin(accepted))
    commits = fields[:-1, 1] != 0
    return bool((commits & continues[1:] & salts.any(axis=1)[1:])[end:].any())
