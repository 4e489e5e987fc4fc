"""Model archives: the same bytes for the same files, and nothing damaged or hostile is unpacked."""

import io
import tarfile

import pytest

from steps.core.common.errors import UserError
from steps.network.archive import pack, unpacked


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    (folder / "deeper").mkdir(parents=True)
    (folder / "backbone.npz").write_bytes(bytes(range(256)) * 40)
    (folder / "head.json").write_text("{}")
    (folder / "deeper" / "more.npz").write_bytes(b"weights")
    return folder


def contents(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_an_archive_is_the_same_bytes_every_time_and_comes_back_whole(files, tmp_path):
    for name in ("one", "two"):
        pack(files, tmp_path / name / "model.tar.gz")
        (files / "head.json").touch()
    assert (tmp_path / "one" / "model.tar.gz").read_bytes() == (tmp_path / "two" / "model.tar.gz").read_bytes()
    with unpacked(tmp_path / "one") as folder:
        assert contents(folder) == contents(files)


def test_a_damaged_archive_is_refused(files, tmp_path):
    pack(files, tmp_path / "one" / "model.tar.gz")
    whole = (tmp_path / "one" / "model.tar.gz").read_bytes()
    damages = {"bad": b"nothing", "checksum": whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:], "short": whole[:-50]}
    for name, damage in damages.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.tar.gz").write_bytes(damage)
        with pytest.raises(UserError, match="not a readable model archive"), unpacked(tmp_path / name):
            pass


def hostile(folder, name):
    folder.mkdir(exist_ok=True)
    with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo(name)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    return folder


def test_nothing_is_ever_unpacked_outside(tmp_path):
    with pytest.raises(UserError, match="outside"), unpacked(hostile(tmp_path / "up", "../outside")):
        pass
    with unpacked(hostile(tmp_path / "root", "/absolute")) as folder:
        assert [p.name for p in folder.iterdir()] == ["absolute"]
