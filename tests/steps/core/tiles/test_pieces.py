"""Pieces: whoever cut what, and how often, the tiles come out the same."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steps.core.common.errors import UserError
from steps.core.tiles import pieces
from steps.core.tiles.cutting import CutScreenshot
from steps.core.tiles.pieces import Pieces, write_pieces
from steps.core.tiles.tiling import plan_tiles

REFUSED = CutScreenshot((), (), "not a readable image")


@st.composite
def cut_screenshots(draw):
    """Any tiles of pictures of any size: merging looks at bytes, not at what they show."""
    if draw(st.integers(0, 5)) == 0:
        return REFUSED
    plan = plan_tiles(draw(st.integers(1, 60)), draw(st.integers(1, 60)))
    return CutScreenshot(plan, tuple(draw(st.binary(max_size=20)) for _ in plan), "")


@st.composite
def shared_out(draw):
    """Screenshots by key, and for each host what it got: every one at least once, some twice, in any order."""
    cuts = {f"labelled/b/{n}.png": draw(cut_screenshots()) for n in range(draw(st.integers(0, 12)))}
    hosts = draw(st.integers(1, 5))
    shares = [[] for _ in range(hosts)]
    for key in cuts:
        for host in draw(st.sets(st.integers(0, hosts - 1), min_size=1, max_size=2)):
            shares[host].append(key)
    return cuts, [draw(st.permutations(share)) for share in shares]


@given(shared_out(), st.integers(1, 4), st.randoms())
def test_the_merge_depends_on_no_host_no_order_and_no_repetition(given_out, piece, random):
    cuts, shares = given_out
    keys = list(cuts)
    random.shuffle(keys)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pieces, "_SCREENSHOTS_PER_PIECE", piece)
        for share in shares:
            write_pieces(Path(name), [(key, cuts[key]) for key in share])
        assert list(Pieces(Path(name)).cuts(keys)) == [cuts[key] for key in keys]


@given(shared_out(), st.data())
def test_a_screenshot_that_no_host_kept_is_named(given_out, data):
    cuts, shares = given_out
    if not cuts:
        return
    lost = data.draw(st.sampled_from(sorted(cuts)))
    with tempfile.TemporaryDirectory() as name:
        for share in shares:
            write_pieces(Path(name), [(key, cuts[key]) for key in share if key != lost])
        with pytest.raises(UserError, match=f"1 screenshots were not cut, {lost} first"):
            list(Pieces(Path(name)).cuts(list(cuts)))


def test_two_hosts_that_disagree_are_told(tmp_path):
    plan = plan_tiles(8, 8)
    for data in (b"a", b"b"):
        write_pieces(tmp_path, [("labelled/b/1.png", CutScreenshot(plan, (data,) * len(plan), ""))])
    with pytest.raises(UserError, match=r"labelled/b/1.png was cut twice, into different tiles"):
        Pieces(tmp_path)
