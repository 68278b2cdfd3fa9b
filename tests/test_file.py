"""Files are written whole or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from stylus_gen.tools.errors import BadRequest
from stylus_gen.tools.file import make_folder, write_whole
from tests.fixtures.disk import full_disk


def test_a_file_is_written_whole_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_whole(path, "old")
    path.chmod(0o640)
    write_whole(path, "new 狐")
    assert path.read_text("utf-8") == "new 狐"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_full_disk_leaves_the_old_file_and_nothing_half(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    write_whole(path, "old")
    with full_disk(1000), pytest.raises(BadRequest, match=r"plan.json' cannot be written \(.*\): make room"):
        write_whole(path, "x" * 5000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["plan.json"]


def test_a_link_keeps_pointing_where_it_did(tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to("real.json")
    write_whole(tmp_path / "link.json", "new")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_text() == "new"


def test_a_device_stays_a_device(tmp_path: Path) -> None:
    write_whole(Path(os.devnull), "nothing")
    assert not Path(os.devnull).is_file()
    if Path("/dev/full").exists():
        with pytest.raises(BadRequest, match="No space left"):
            write_whole(Path("/dev/full"), "nothing")


@pytest.mark.parametrize("name", ["folder", "file/plan.json", "nowhere/plan.json", "loop", "a\0b", "x" * 300])
def test_a_place_that_takes_no_file_gets_a_sentence(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(BadRequest, match="cannot be written"):
        write_whole(tmp_path / name, "new")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder", "loop"]


def test_a_name_as_long_as_the_disk_takes_is_written(tmp_path: Path) -> None:
    write_whole(tmp_path / ("x" * 255), "new")


def test_a_folder_that_cannot_be_made_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="cannot be written"):
        make_folder(tmp_path / "file" / "folder")
