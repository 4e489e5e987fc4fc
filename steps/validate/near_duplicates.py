"""Near-duplicates among screenshots: hashes find the candidates, thumbnails confirm them.

Hashes of real screenshots come in crowds (thousands of blank screens share one), so nothing here compares all with all
or holds all pairs of a crowd. Everything depends on pictures and their order alone; which screenshots hang together
does not depend on the order either.
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_matrix, csgraph

from steps.validate.perceptual_hash import THUMBNAIL_SIDE

Hashes = npt.NDArray[np.uint64]
Thumbs = npt.NDArray[np.uint8]
Positions = npt.NDArray[np.int64]
_Found = tuple[Positions, Positions, npt.NDArray[np.uint8]]

RADIUS = 3
_BITS = 64
_MAX_BUCKET = 8192
# Grey levels that a cell may differ by, and all cells on average, after a shift by a quarter of a cell is granted.
_CELL_LIMIT, _MEAN_LIMIT = 20, 1.0
_SHIFT = 4
_CELLS = THUMBNAIL_SIDE**2
_CHUNK = 4096
# Pairs at a time: temporaries of this size are reused from the cache.
_BLOCK = 128
# More candidates than this for each picture of a neighbourhood, and only as many pairs are kept as connect it.
_CROWD = 32
_MOST_COMPARED = 2000


def pairs_within(hashes: Hashes, max_bucket: int = _MAX_BUCKET) -> pd.DataFrame:
    """Find the pairs among `hashes`, uint64 [n], that differ in at most 3 bits.

    Equal hashes stand for each other: each is paired with the first of its kind alone, and only the first ones are
    paired with other hashes; all of these pairs are found. Two hashes that differ in r bits agree in one of r + 1 bands
    of bits (pigeonhole), so only hashes that share a band are compared, and where more than `max_bucket` share one,
    the bits that are left are split into bands again. Takes memory for the hashes and for the pairs found.

    Columns: positions a < b (int64) and distance in bits (uint8), sorted by (a, b); no pair twice.
    """
    values, first, which = np.unique(hashes, return_index=True, return_inverse=True)
    leader = first[which]
    equal = np.flatnonzero(leader != np.arange(len(hashes)))
    found = [(leader[equal], equal, np.zeros(len(equal), np.uint8))]
    found += [(first[a], first[b], bits) for a, b, bits in _join(values, max_bucket)]
    return _sorted_pairs(found)


def _sorted_pairs(found: Sequence[_Found]) -> pd.DataFrame:
    a, b, distance = (np.concatenate(part) for part in zip(*found, strict=True))
    a, b = np.minimum(a, b), np.maximum(a, b)
    order = np.lexsort((b, a))
    return pd.DataFrame({"a": a[order], "b": b[order], "distance": distance[order]})


def _join(values: Hashes, max_bucket: int) -> Iterator[_Found]:
    """Yield (one, other, distance) of different `values`, each pair once."""
    # Of each: positions that agree in the bits `agreed`, and bands that a pair has to differ in, or it came up there.
    waiting: list[tuple[Positions, int, tuple[int, ...]]] = [(np.arange(len(values)), 0, ())]
    while waiting:
        members, agreed, before = waiting.pop()
        bands = _bands(agreed, RADIUS + 1)
        for number, band in enumerate(bands):
            mask, tried = agreed | band, (*before, *bands[:number])
            keys = values[members] & np.uint64(mask)
            order = np.argsort(keys)
            starts = np.flatnonzero(np.diff(keys[order], prepend=~keys[order[:1]]))
            lengths = np.diff(starts, append=len(keys))
            # With no more bits left than may differ, all of a bucket are near each other.
            limit = max_bucket if _BITS - mask.bit_count() > RADIUS else len(keys)
            # A bucket in which nobody differs in a band tried before has no new pair, however often its bits are split.
            kin = values[members[order]]
            spread = np.bitwise_or.reduceat(kin ^ np.repeat(kin[starts], lengths), starts)
            hopeful = lengths > 1
            for earlier in tried:
                hopeful &= (spread & np.uint64(earlier)) != 0
            of_each = np.repeat(np.where(hopeful, lengths, 0), lengths)
            small = (of_each > 0) & (of_each <= limit)
            for one, other, differ in _compare(values, members[order[small]], of_each[small], mask):
                new = np.ones(len(one), np.bool_)
                for earlier in tried:
                    new &= (differ & np.uint64(earlier)) != 0
                yield one[new], other[new], np.bitwise_count(differ[new])
            if (large := members[order[of_each > limit]]).size:
                waiting.append((large, mask, tried))


def _bands(agreed: int, count: int) -> list[int]:
    """Split the bits that are not in `agreed` into `count` masks of nearly equal size."""
    free = [1 << bit for bit in range(_BITS) if not agreed >> bit & 1]
    return [sum(free[at * len(free) // count : (at + 1) * len(free) // count]) for at in range(count)]


def _compare(
    values: Hashes, members: Positions, lengths: Positions, mask: int
) -> Iterator[tuple[Positions, Positions, Hashes]]:
    """Yield (one, other, differing bits) of near pairs within runs of `members`, which agree in the bits of `mask`.

    `lengths` holds, for each member, the length of its run. Neighbours at distance 1 are compared in all runs at once,
    then at distance 2, and so on: no step needs more memory than the members do. Longest runs first, so that those
    which are still at it are a prefix.
    """
    order = np.argsort(-lengths, kind="stable")
    members, lengths = members[order], lengths[order]
    hashes = values[members]
    for apart in range(1, int(lengths[0]) if len(lengths) else 0):
        active = int(np.searchsorted(-lengths, -apart, side="left"))
        differ = hashes[: active - apart] ^ hashes[apart:active]
        near = np.flatnonzero(np.bitwise_count(differ) <= RADIUS)
        near = near[(differ[near] & np.uint64(mask)) == 0]
        if near.size:
            yield members[near], members[near + apart], differ[near]


def confirm(thumbs_a: Thumbs, thumbs_b: Thumbs) -> npt.NDArray[np.bool_]:
    """Tell which pairs of thumbnails, uint8 [n, 32, 32] each, show the same picture: bool [n].

    A cell's difference is what is left of it when either picture may be shifted by up to a quarter of a cell: when its
    cell may move a quarter of the way towards the darkest or the brightest of the eight around it, whichever of the two
    pictures explains the cell better. The same picture has no cell that differs by more than 20 grey levels and differs
    by 1 at most on average. Measured: JPEG of quality 80 and half of the size leave cells within 6, two rows more
    or less within 15 on 99 % of screenshots (22 at most, where two rows are a fifth of a cell); the sample's badge in
    the place of another object leaves a cell of at least 38, a changed square in a game of Sudoku 35.
    """
    same = np.zeros(len(thumbs_a), np.bool_)
    for at in range(0, len(same), _BLOCK):
        same[at : at + _BLOCK] = _confirm_block(thumbs_a[at : at + _BLOCK], thumbs_b[at : at + _BLOCK])
    return same


def _confirm_block(a: Thumbs, b: Thumbs) -> npt.NDArray[np.bool_]:
    plain = (np.maximum(a, b) - np.minimum(a, b)).reshape(-1, _CELLS)
    most = plain.max(axis=1)
    same: npt.NDArray[np.bool_] = (most <= _CELL_LIMIT) & (plain.sum(axis=1, dtype=np.int64) <= _MEAN_LIMIT * _CELLS)
    # A quarter of a step explains 64 levels at most: what differs by more than that and the limit is beyond it.
    open_ = np.flatnonzero(~same & (most <= _CELL_LIMIT + 256 // _SHIFT))
    if open_.size:
        # Pairs last: every step then runs over whole rows of memory.
        a, b = (np.ascontiguousarray(np.moveaxis(thumbs[open_], 0, -1)) for thumbs in (a, b))
        excess = np.minimum(_unexplained(a, b), _unexplained(b, a)).reshape(_CELLS, -1)
        total = excess.sum(axis=0, dtype=np.int64)
        same[open_] = (excess.max(axis=0) <= _CELL_LIMIT * _SHIFT) & (total <= _MEAN_LIMIT * _CELLS * _SHIFT)
    return same


def _unexplained(seen: Thumbs, other: Thumbs) -> npt.NDArray[np.int16]:
    """Return, in quarters of a level, by how much `seen` leaves what a shift of `other` allows, int16 [32, 32, n]."""
    around = np.ones((3, 3), np.uint8)
    low, high = (reach(other, around).reshape(other.shape) for reach in (cv2.erode, cv2.dilate))
    away = seen.astype(np.int16) * _SHIFT - other.astype(np.int16) * (_SHIFT - 1)
    return cast("npt.NDArray[np.int16]", np.maximum(np.maximum(low - away, away - high), 0))


def near_duplicates(hashes: Hashes, thumbs: Thumbs) -> pd.DataFrame:
    """Find pairs of near-duplicates among screenshots, with `hashes` uint64 [n] and `thumbs` uint8 [n, 32, 32].

    Columns are those of `pairs_within`; each pair is confirmed by its thumbnails. Of pictures that are equal to the
    pixel, all are paired with the first alone. Otherwise all pairs are there, but for crowds, neighbourhoods of more
    than 32 candidates a picture, which have as many as connect them. So what hangs together (`clusters`) is always
    complete; to see what contradicts what, `complete` the clusters that do.
    """
    values, which, counts = np.unique(hashes, return_inverse=True, return_counts=True)
    edges = edges_of(pairs_within(values))
    company = counts > 1
    company[edges] = True
    rows = np.flatnonzero(company[which])
    # `transform` gives each row the first one that is equal to the pixel.
    digests = [hashlib.blake2b(thumbs[row].tobytes(), digest_size=16).digest() for row in rows.tolist()]
    first = pd.Series(rows).groupby([which[rows], pd.Series(digests, dtype=object)]).transform("min").to_numpy(np.int64)
    copies = rows[first != rows]
    found = [(first[first != rows], copies, np.zeros(len(copies), np.uint8))]
    pictures = rows[first == rows]
    pictures = pictures[np.argsort(which[pictures], kind="stable")]
    size = np.bincount(which[pictures], minlength=len(values))
    begin = np.cumsum(size) - size
    one = np.concatenate([edges[:, 0], np.flatnonzero(size > 1)])
    other = np.concatenate([edges[:, 1], np.flatnonzero(size > 1)])
    place = clusters(len(values), edges)
    candidates = np.bincount(place[one], size[one] * size[other], minlength=len(values))
    crowded = (candidates > _CROWD * np.bincount(place, size, minlength=len(values)))[place]
    for a, b in _products(begin, size, one[~crowded[one]], other[~crowded[one]]):
        found.append(_confirmed(pictures[a], pictures[b], hashes, thumbs))
    crowd = pictures[crowded[which[pictures]]]
    for members in _together(crowd, place[which[crowd]]):
        found += _connect(np.sort(members), hashes, thumbs)
    return _sorted_pairs(found)


def complete(near: pd.DataFrame, mixed: npt.NDArray[np.bool_], hashes: Hashes, thumbs: Thumbs) -> pd.DataFrame:
    """Return `near`, the pairs of `near_duplicates`, with all pairs of the clusters in which something is `mixed`.

    mixed: bool [n], true for all members of those clusters. Where more than 2,000 hang together, everyone is instead
    paired with the first of them, near or not: what is mixed up in such a crowd is nobody's to sort by program.
    """
    place = clusters(len(mixed), edges_of(near))
    members = np.flatnonzero(mixed)
    found = [(near["a"].to_numpy(np.int64), near["b"].to_numpy(np.int64), near["distance"].to_numpy(np.uint8))]
    for together in _together(members, place[members]):
        if len(together) > _MOST_COMPARED:
            first = np.full(len(together) - 1, together[0])
            found.append((first, together[1:], np.bitwise_count(hashes[first] ^ hashes[together[1:]])))
            continue
        one, other = (together[at] for at in np.triu_indices(len(together), 1))
        close = np.bitwise_count(hashes[one] ^ hashes[other]) <= RADIUS
        found.append(_confirmed(one[close], other[close], hashes, thumbs))
    return _sorted_pairs(found).drop_duplicates(["a", "b"], ignore_index=True)


def _products(
    begin: Positions, size: Positions, one: Positions, other: Positions
) -> Iterator[tuple[Positions, Positions]]:
    """Yield, chunk by chunk, all pairs of a member of group `one[k]` and one of `other[k]`, each pair once.

    Group g holds the places begin[g] to begin[g] + size[g] - 1.
    """
    ends = np.cumsum(size[one] * size[other])
    for start in range(0, int(ends[-1]) if len(ends) else 0, _CHUNK):
        flat = np.arange(start, min(start + _CHUNK, ends[-1]))
        pair = np.searchsorted(ends, flat, side="right")
        within = flat - (ends[pair] - size[one[pair]] * size[other[pair]])
        across, down = np.divmod(within, size[other[pair]])
        a, b = begin[one[pair]] + across, begin[other[pair]] + down
        wanted = (one[pair] != other[pair]) | (a < b)
        yield a[wanted], b[wanted]


def _confirmed(a: Positions, b: Positions, hashes: Hashes, thumbs: Thumbs) -> _Found:
    same = [confirm(thumbs[a[at : at + _CHUNK]], thumbs[b[at : at + _CHUNK]]) for at in range(0, len(a), _CHUNK)]
    kept = np.flatnonzero(np.concatenate(same)) if same else np.zeros(0, np.intp)
    a, b = a[kept], b[kept]
    return a, b, np.bitwise_count(hashes[a] ^ hashes[b])


def _together(items: Positions, keys: Positions) -> list[Positions]:
    order = np.argsort(keys, kind="stable")
    return np.split(items[order], np.flatnonzero(np.diff(keys[order])) + 1) if len(items) else []


def _connect(members: Positions, hashes: Hashes, thumbs: Thumbs) -> Iterator[_Found]:
    """Yield pairs that connect whatever is connected among `members`, by breadth-first search.

    A picture that has been reached is compared with no other one that has: a crowd of one picture costs one pass.
    """
    left = members
    reached: list[int] = []
    while left.size:
        if not reached:
            reached, left = [int(left[0])], left[1:]
        at = reached.pop(0)
        close = np.flatnonzero(np.bitwise_count(hashes[left] ^ hashes[at]) <= RADIUS)
        pairs = _confirmed(np.full(len(close), at), left[close], hashes, thumbs)
        if pairs[1].size:
            yield pairs
            reached += pairs[1].tolist()
            left = np.setdiff1d(left, pairs[1], assume_unique=True)


def edges_of(pairs: pd.DataFrame) -> Positions:
    """Return the positions of pairs, int64 [pairs, 2]."""
    return pairs[["a", "b"]].to_numpy(np.int64)


def clusters(n: int, pairs: npt.NDArray[np.int64]) -> Positions:
    """Return for each of `n` positions the smallest one that `pairs`, int64 [m, 2], connect it with: int64 [n]."""
    if n == 0:
        return np.zeros(0, np.int64)
    graph = coo_matrix((np.ones(len(pairs), np.int8), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    component = csgraph.connected_components(graph, directed=False)[1]
    return np.unique(component, return_index=True)[1][component].astype(np.int64)
