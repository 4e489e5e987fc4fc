"""Every mutant of the corpus, read in a guarded worker as a step reads it."""

import functools
import hashlib
import sys
from pathlib import Path

import pytest

from steps.core.common.worker_pool import map_in_processes

# Spawned workers find `look` by its module's name, on the path they inherit.
sys.path.insert(0, str(Path(__file__).parents[1]))
from hostile import images, pngfile
from hostile.look import Item, Look, look, read_and_pry, read_and_tamper

pytestmark = pytest.mark.integration

FEWEST = 1000
MEMORY = 1024**3


def died(item, reason):
    return Look("died", reason)


@pytest.fixture(scope="module")
def corpus():
    return {kind: list(images.mutants(kind)) for kind in images.KINDS}


@pytest.fixture(scope="module")
def looks(corpus, tmp_path_factory):
    """By kind, the list of (mutant, look)."""
    folder, mutants, items = tmp_path_factory.mktemp("hostile"), [], []
    for number, mutant in enumerate(mutant for kind in corpus.values() for mutant in kind):
        path, twin = folder / str(number) / mutant.name, folder / str(number) / "twin"
        path.parent.mkdir()
        path.write_bytes(mutant.data)
        if mutant.twin is not None:
            twin.write_bytes(mutant.twin)
        mutants.append(mutant)
        items.append(Item(path, twin if mutant.twin is not None else None))
    seen = map_in_processes(look, items, 2, on_death=died, seconds=10, memory_bytes=MEMORY)
    pairs = iter(list(zip(mutants, seen, strict=True)))
    return {kind: [next(pairs) for _ in those] for kind, those in corpus.items()}


def digest(corpus):
    return [hashlib.sha256(mutant.data).digest() for those in corpus.values() for mutant in those]


def test_the_corpus_is_large(corpus):
    assert sum(map(len, corpus.values())) >= FEWEST


def test_the_corpus_is_the_same_at_every_run(corpus):
    again = {kind: list(images.mutants(kind)) for kind in images.KINDS}
    assert digest(again) == digest(corpus)


@pytest.mark.parametrize("kind", images.KINDS)
def test_no_image_ends_its_worker_or_holds_it_up(looks, kind):
    assert [(mutant.name, seen.reason) for mutant, seen in looks[kind] if seen.verdict == "died"] == []


@pytest.mark.parametrize("kind", images.KINDS)
def test_every_verdict_is_as_expected(looks, kind):
    wrong = [
        (mutant.name, mutant.expected, seen.verdict, seen.reason)
        for mutant, seen in looks[kind]
        if mutant.expected not in ("either", seen.verdict)
    ]
    assert wrong == []


@pytest.mark.parametrize("kind", images.KINDS)
def test_what_is_read_has_the_pixels_that_pillow_sees(looks, kind):
    assert [(mutant.name, seen.pixels) for mutant, seen in looks[kind] if seen.pixels] == []


@pytest.mark.parametrize("kind", images.KINDS)
def test_nothing_but_the_image_is_opened(looks, kind):
    assert [(mutant.name, seen.touched) for mutant, seen in looks[kind] if seen.touched] == []


@pytest.mark.parametrize("kind", images.KINDS)
def test_every_refusal_says_why(looks, kind):
    refused = [(mutant.name, seen.reason) for mutant, seen in looks[kind] if seen.verdict == "refused"]
    assert [pair for pair in refused if len(pair[1]) < 10 or pair[1].rstrip().endswith(":")] == []


@pytest.mark.parametrize("kind", images.KINDS)
def test_no_image_fills_the_log(looks, kind):
    assert [(mutant.name, seen.warned) for mutant, seen in looks[kind] if seen.warned] == []


def test_no_worker_comes_near_its_limit(looks):
    assert max(seen.peak for pairs in looks.values() for _, seen in pairs) < MEMORY


def test_what_these_tests_look_for_would_be_found(tmp_path):
    path, secret = tmp_path / "a.png", tmp_path / "secret"
    path.write_bytes(pngfile.drawn())
    secret.write_text("secret")
    (pried,) = map_in_processes(functools.partial(look, read=read_and_pry), [Item(path)], 1)
    assert [event.startswith(f"open {secret} ") for event in pried.touched] == [True]
    (tampered,) = map_in_processes(functools.partial(look, read=read_and_tamper), [Item(path)], 1)
    assert (tampered.pixels, tampered.warned) == ("1 of 4608 pixels differ", 1)
    refused = tmp_path / "refused.png"
    refused.write_bytes(b"no picture")
    (seen,) = map_in_processes(look, [Item(refused)], 1)
    assert (seen.verdict, seen.touched) == ("refused", ())
