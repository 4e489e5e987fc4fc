"""Near-duplicates: the join of hashes, the confirmation by pixels, and both together."""

import dataclasses
import io
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from steps.core.sample.apps import make_app
from steps.core.sample.objects import DECOYS, PLAIN
from steps.core.sample.scenes import BADGE, draw_scene, plan_scene
from steps.validate.near_duplicates import RADIUS, clusters, confirm, near_duplicates, pairs_within
from steps.validate.perceptual_hash import perceptual_hash, thumbnail

EMPTY = np.zeros((0, 32, 32), np.uint8)


@st.composite
def hash_sets(draw, most=60):
    """Hashes in crowds: few centres, each hash a few bits away from one; equal ones among them."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    flips = st.lists(st.integers(0, 63), max_size=4)
    chosen = draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=most))
    return np.array([h ^ sum(1 << bit for bit in set(bits)) for h, bits in chosen], np.uint64)


def distance(a, b):
    return (int(a) ^ int(b)).bit_count()


def first_of_each(hashes):
    return {h: at for at, h in reversed(list(enumerate(hashes.tolist())))}


@given(hash_sets(), st.sampled_from([16, 30, 2048]))
def test_the_join_finds_what_comparing_all_with_all_finds(hashes, max_bucket):
    first = first_of_each(hashes)
    expected = {(first[h], at, 0) for at, h in enumerate(hashes.tolist()) if first[h] != at}
    for a, b in itertools.combinations(sorted(first.values()), 2):
        if distance(hashes[a], hashes[b]) <= RADIUS:
            expected.add((a, b, distance(hashes[a], hashes[b])))
    pairs = pairs_within(hashes, max_bucket)
    found = list(zip(pairs.a.tolist(), pairs.b.tolist(), pairs.distance.tolist(), strict=True))
    assert found == sorted(expected)


@given(hash_sets(), st.randoms(use_true_random=False))
def test_the_order_of_hashes_changes_no_pair_of_different_hashes(hashes, random):
    order = np.array(random.sample(range(len(hashes)), len(hashes)), np.int64)
    seen = []
    for some in (hashes, hashes[order]):
        pairs = pairs_within(some)
        apart = pairs.distance > 0
        seen.append({frozenset((some[a], some[b])) for a, b in zip(pairs.a[apart], pairs.b[apart], strict=True)})
    assert seen[0] == seen[1]


@pytest.mark.parametrize("max_bucket", [64, 2048])
def test_a_bucket_that_all_hashes_share_loses_no_pair(max_bucket):
    rng = np.random.default_rng(5)
    # 24 bits are the same in all of them; the sources' neighbours are known.
    hashes = rng.integers(0, 2**40, 4_000, np.uint64)
    flips = np.array([sum(1 << b for b in rng.choice(40, 3, replace=False).tolist()) for _ in range(400)], np.uint64)
    hashes = np.concatenate([hashes, hashes[:400] ^ flips])
    pairs = pairs_within(hashes, max_bucket=max_bucket)
    found = set(zip(pairs.a.tolist(), pairs.b.tolist(), strict=True))
    assert {(at, 4_000 + at) for at in range(400)} <= found
    assert len(found) == len(pairs.a)


def test_thousands_of_equal_hashes_make_a_star_not_a_square():
    hashes = np.full(50_000, 17, np.uint64)
    pairs = pairs_within(hashes)
    assert np.array_equal(pairs.a, np.zeros(49_999))
    assert np.array_equal(pairs.b, np.arange(1, 50_000))


def badge_scenes(count):
    scenes = (plan_scene(17, make_app(17, app), number) for app in itertools.count() for number in range(5))
    return list(itertools.islice((scene for scene in scenes if scene.main == BADGE), count))


def pixels_of(scene):
    return np.asarray(draw_scene(scene))


def as_jpeg(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))


def half_as_large(pixels):
    height, width = pixels.shape[:2]
    return np.asarray(Image.fromarray(pixels).resize((width // 2, height // 2), Image.Resampling.BOX))


def two_rows_off_the_top(pixels):
    return pixels[2:]


def two_rows_more(pixels):
    return np.concatenate([pixels[:1], pixels[:1], pixels])


@pytest.mark.parametrize("change", [as_jpeg, half_as_large, two_rows_off_the_top, two_rows_more])
def test_a_harmless_change_leaves_the_same_picture(change):
    for scene in badge_scenes(8):
        pixels = pixels_of(scene)
        assert confirm(thumbnail(pixels)[None], thumbnail(change(pixels))[None]).all(), scene


def test_what_carries_the_label_makes_another_picture():
    for scene in badge_scenes(4):
        others = [thumbnail(pixels_of(dataclasses.replace(scene, main=main))) for main in (*DECOYS, *PLAIN)]
        badge = np.repeat(thumbnail(pixels_of(scene))[None], len(others), axis=0)
        assert not confirm(badge, np.stack(others)).any(), scene


@pytest.mark.parametrize(("level", "same"), [(100, True), (101, True), (102, False), (140, False), (255, False)])
def test_flat_pictures_are_the_same_within_one_grey_level(level, same):
    thumbs = [np.full((1, 32, 32), grey, np.uint8) for grey in (100, level)]
    assert confirm(*thumbs).tolist() == [same]


@pytest.mark.parametrize(("difference", "same"), [(20, True), (21, False), (120, False)])
def test_a_spot_may_differ_by_twenty_levels(difference, same):
    one, other = np.full((1, 32, 32), 100, np.uint8), np.full((1, 32, 32), 100, np.uint8)
    # Three cells wide: to the one in the middle no neighbour comes nearer.
    other[0, 4:7, 4:7] += difference
    assert confirm(one, other).tolist() == [same]


def test_an_edge_may_move_by_a_quarter_of_a_cell_and_not_by_a_half():
    def edge(share):
        thumb = np.zeros((1, 32, 32), np.uint8)
        thumb[0, 16:] = 200
        thumb[0, 15] = round(200 * share)
        return thumb

    assert confirm(edge(0), edge(0.25)).all()
    assert not confirm(edge(0), edge(0.5)).any()


@given(st.integers(0, 2**32 - 1), st.integers(0, 40))
def test_confirmation_does_not_depend_on_the_side_or_the_company(seed, strength):
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 256, (140, 32, 32), dtype=np.uint8)
    b = np.clip(a + rng.integers(-1, 2, a.shape) * rng.integers(0, strength + 1, (140, 1, 1)), 0, 255).astype(np.uint8)
    same = confirm(a, b)
    assert np.array_equal(same, confirm(b, a))
    alone = [bool(confirm(a[at : at + 1], b[at : at + 1])[0]) for at in range(0, 140, 20)]
    assert same[::20].tolist() == alone


def test_no_pairs_are_confirmed_among_none():
    assert confirm(EMPTY, EMPTY).shape == (0,)


@st.composite
def pictures(draw, most=40):
    """Hashes and thumbnails that fit each other loosely, so that each may agree without the other."""
    hashes = draw(hash_sets(most))
    levels = draw(st.lists(st.integers(100, 106), min_size=len(hashes), max_size=len(hashes)))
    return hashes, np.stack([np.full((32, 32), level, np.uint8) for level in levels]) if len(hashes) else EMPTY


def all_pairs(hashes, thumbs):
    """Compare all with all."""
    near = [(a, b) for a, b in itertools.combinations(range(len(hashes)), 2) if distance(hashes[a], hashes[b]) <= 3]
    return [(a, b) for a, b in near if confirm(thumbs[a][None], thumbs[b][None])[0]]


def as_array(pairs):
    return np.array(pairs, np.int64).reshape(-1, 2)


@given(pictures())
def test_what_hangs_together_is_what_comparing_all_with_all_connects(set_of_pictures):
    hashes, thumbs = set_of_pictures
    expected = all_pairs(hashes, thumbs)
    found = near_duplicates(hashes, thumbs)
    assert np.array_equal(
        clusters(len(hashes), found[["a", "b"]].to_numpy()), clusters(len(hashes), as_array(expected))
    )
    assert {(row.a, row.b) for row in found.itertuples()} <= set(expected)
    assert [row.distance for row in found.itertuples()] == [
        distance(hashes[row.a], hashes[row.b]) for row in found.itertuples()
    ]
    assert found.equals(found.sort_values(["a", "b"]).drop_duplicates(["a", "b"], ignore_index=True))


@given(pictures(most=6), st.integers(0, 2**32 - 1))
def test_among_few_different_pictures_every_pair_is_told(set_of_pictures, seed):
    hashes, thumbs = set_of_pictures
    rng = np.random.default_rng(seed)
    # One pixel of its own for each: no two are equal.
    thumbs = np.array(
        [np.where(np.arange(1024).reshape(32, 32) == at, 110, t) for at, t in enumerate(thumbs)], np.uint8
    )
    order = rng.permutation(len(hashes))
    hashes, thumbs = hashes[order], thumbs.reshape(-1, 32, 32)[order]
    found = near_duplicates(hashes, thumbs)
    assert [(row.a, row.b) for row in found.itertuples()] == all_pairs(hashes, thumbs)


@given(pictures(most=80), st.randoms(use_true_random=False))
def test_the_order_of_screenshots_changes_nothing_that_hangs_together(set_of_pictures, random):
    hashes, thumbs = set_of_pictures
    order = np.array(random.sample(range(len(hashes)), len(hashes)), np.int64)
    sets = []
    for at in (np.arange(len(hashes)), order):
        found = near_duplicates(hashes[at], thumbs[at])
        label = clusters(len(at), found[["a", "b"]].to_numpy())
        sets.append({frozenset(at[label == one].tolist()) for one in set(label.tolist())})
    assert sets[0] == sets[1]


def test_a_crowd_of_different_pictures_is_connected_by_one_pair_less_than_it_has_pictures():
    thumbs = np.stack([np.full((32, 32), level, np.uint8) for level in range(200)])
    order = np.random.default_rng(1).permutation(200)
    found = near_duplicates(np.full(200, 1 << 63, np.uint64), thumbs[order])
    assert len(found) == 199
    assert not clusters(200, found[["a", "b"]].to_numpy()).any()


def test_a_crowd_of_equal_pictures_is_paired_with_its_first():
    found = near_duplicates(np.full(500, 7, np.uint64), np.full((500, 32, 32), 9, np.uint8))
    assert found["a"].eq(0).all()
    assert found["b"].tolist() == list(range(1, 500))


def test_equal_hashes_of_different_pictures_hide_no_pair_among_them():
    white, grey = np.full((32, 32), 255, np.uint8), np.full((32, 32), 90, np.uint8)
    found = near_duplicates(np.full(4, 1 << 63, np.uint64), np.stack([white, grey, white, grey]))
    assert found.to_dict("list") == {"a": [0, 1], "b": [2, 3], "distance": [0, 0]}


def test_screenshots_saved_again_are_found_and_others_are_not():
    screens = [pixels_of(plan_scene(17, make_app(17, app), number)) for app in range(6) for number in range(3)]
    again = [change(screens[at]) for at, change in ((2, as_jpeg), (7, half_as_large), (11, two_rows_off_the_top))]
    thumbs = np.stack([thumbnail(p) for p in screens + again])
    found = near_duplicates(np.array([perceptual_hash(thumb) for thumb in thumbs], np.uint64), thumbs)
    assert list(zip(found["a"], found["b"], strict=True)) == [(2, 18), (7, 19), (11, 20)]


def test_thumbnails_may_lie_in_a_file(tmp_path):
    np.save(tmp_path / "thumbs.npy", np.full((9, 32, 32), 3, np.uint8))
    found = near_duplicates(np.zeros(9, np.uint64), np.load(tmp_path / "thumbs.npy", mmap_mode="r"))
    assert len(found) == 8


def test_without_screenshots_there_are_no_pairs():
    found = near_duplicates(np.zeros(0, np.uint64), EMPTY)
    assert found.dtypes.to_dict() == {"a": np.int64, "b": np.int64, "distance": np.uint8}
    assert len(found) == 0


def test_clusters_are_named_after_their_smallest_position():
    pairs = np.array([[5, 2], [2, 4], [1, 3]], np.int64)
    assert clusters(7, pairs).tolist() == [0, 1, 2, 1, 2, 2, 6]


def test_nothing_hangs_together_without_pairs():
    assert clusters(3, np.zeros((0, 2), np.int64)).tolist() == [0, 1, 2]
    assert clusters(0, np.zeros((0, 2), np.int64)).tolist() == []
