"""Archives that anybody may have made: nothing is unpacked without limit, and nothing outside of its folder."""

import gzip
import io
import tarfile

import pytest

from steps.core.common.archives import unpack
from steps.core.common.errors import UserError


def packed(path, *members, size=0):
    """Write a tar.gz of members; each has `size` zeros, which compress to nearly nothing."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            member.size = size if member.isfile() else 0
            tar.addfile(member, io.BytesIO(b"\0" * size))
    return path


def member(name, kind=tarfile.REGTYPE, target=""):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


HOSTILE = {
    "more bytes than allowed": ([member("a"), member("b")], "it holds more than 1,000 bytes"),
    "more files than allowed": ([member(f"f{n}", tarfile.DIRTYPE) for n in range(10_001)], "or 10,000 files"),
    "a thousand folders deep": ([member("d/" * 1000 + "f")], "more than 32 folders deep"),
    "a link": ([member("l", tarfile.SYMTYPE, "/etc/passwd")], "'l' is a link or no file"),
    "a hard link": ([member("a"), member("l", tarfile.LNKTYPE, "a")], "'l' is a link or no file"),
    "a device": ([member("d", tarfile.CHRTYPE)], "'d' is a link or no file"),
    "a way out": ([member("../out")], "outside"),
}


@pytest.mark.parametrize(("members", "sentence"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused(tmp_path, members, sentence):
    path = packed(tmp_path / "a.tar.gz", *members, size=501)
    with pytest.raises(UserError, match=rf"a.tar.gz is not a readable model archive .*{sentence}"):
        unpack(path, tmp_path / "into", max_bytes=1000)
    assert sum(file.stat().st_size for file in (tmp_path / "into").rglob("*")) < 2000 or "files" in sentence
    assert not (tmp_path / "out").exists()


def test_an_archive_that_is_cut_off_or_none_is_refused(tmp_path):
    whole = packed(tmp_path / "a.tar.gz", member("a"), size=100_000).read_bytes()
    for number, data in enumerate((b"", b"no archive", whole[: len(whole) // 2], gzip.compress(b"no tar"))):
        path = tmp_path / f"{number}.tar.gz"
        path.write_bytes(data)
        with pytest.raises(UserError, match="is not a readable model archive"):
            unpack(path, tmp_path / "into")


def test_zeros_without_end_behind_the_archive_are_not_read_to_their_end(tmp_path):
    path = packed(tmp_path / "a.tar.gz", member("a"), size=10)
    path.write_bytes(path.read_bytes() + gzip.compress(b"\0" * 5_000_000))
    with pytest.raises(UserError, match="it goes on behind its end"):
        unpack(path, tmp_path / "into", max_bytes=1000)


def test_what_is_within_the_limits_is_unpacked(tmp_path):
    unpack(packed(tmp_path / "a.tar.gz", member("deep/a"), member("b"), size=500), tmp_path / "into", max_bytes=1000)
    assert (tmp_path / "into" / "deep" / "a").stat().st_size == 500
