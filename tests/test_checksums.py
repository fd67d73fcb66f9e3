"""One SHA256SUMS a folder, against sha256sum itself, flipped bits, and a process killed between two writes."""

import subprocess

import pytest

from resjax.system import checksums, files
from resjax.system.errors import Failure

CONTENT = {"config.json": b'{"depth": 4}', "checkpoints/20/d/af": bytes(range(256)), "ümlaut name.csv": b"a,b\n1,2\n"}


@pytest.fixture
def folder(tmp_path):
    for name, content in CONTENT.items():
        checksums.write(tmp_path, name, content)
    return tmp_path


def sha256sum(folder):
    """Whether coreutils finds every file as its line says."""
    check = ["sha256sum", "--check", "--strict", "--status", checksums.NAME]
    return subprocess.run(check, cwd=folder, check=False).returncode == 0


class Killed(BaseException):
    """What no handler of errors catches, as nothing catches a kill."""


def killed_at(monkeypatch, write, folder, name, content):
    """Writes a file in a process that is killed when so many files are on disk."""
    count = 0

    def limited(path, text):
        nonlocal count
        if count == write:
            raise Killed
        count += 1
        usual(path, text)

    usual = files.write
    with monkeypatch.context() as patched:
        patched.setattr(files, "write", limited)
        try:
            checksums.write(folder, name, content)
        except Killed:
            return True
    return False


def test_sha256sum_accepts_a_folder(folder):
    assert sha256sum(folder)


def test_sha256sum_accepts_a_folder_whose_files_were_overwritten_and_forgotten(folder):
    checksums.write(folder, "config.json", b"new")
    checksums.forget(folder, "checkpoints/20")
    (folder / "checkpoints/20/d/af").unlink()
    assert sha256sum(folder) and checksums.read(folder, "config.json") == b"new"


def test_files_that_others_wrote_get_their_lines(folder):
    (folder / "checkpoints/30/d").mkdir(parents=True)
    (folder / "checkpoints/30/d/x").write_bytes(b"x")
    assert checksums.fault(folder, "checkpoints/30") == "checkpoints/30/d/x"
    checksums.add(folder, checksums.names(folder, "checkpoints/30"))
    assert sha256sum(folder) and not checksums.fault(folder, "checkpoints/30")


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("bit", (0, 7))
def test_a_flipped_bit_of_a_file_is_named(folder, name, bit):
    for place in range(len(CONTENT[name])):
        damaged = bytearray(CONTENT[name])
        damaged[place] ^= 1 << bit
        (folder / name).write_bytes(damaged)
        with pytest.raises(Failure, match=f"{name} is damaged, it does not match"):
            checksums.read(folder, name)


@pytest.mark.parametrize("damage", ("flip", "truncate"))
def test_damaged_checksums_never_let_other_content_pass(folder, damage):
    path = folder / checksums.NAME
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound[:place] if damage == "truncate" else sound)
        if damage == "flip":
            damaged[place] ^= 4
        path.write_bytes(damaged)
        for name, content in CONTENT.items():
            try:
                found = checksums.read(folder, name)
            except Failure as error:
                assert str(folder) in str(error) and "is damaged" in str(error)
            else:
                assert found == content
        if damage == "flip":
            with pytest.raises(Failure):
                [checksums.read(folder, name) for name in CONTENT]


@pytest.mark.parametrize("write", range(4))
@pytest.mark.parametrize("before", (b"old", None), ids=("overwritten", "new"))
def test_a_kill_between_two_writes_leaves_the_old_content_or_the_new(tmp_path, monkeypatch, write, before):
    checksums.write(tmp_path, "other", b"other")
    if before:
        checksums.write(tmp_path, "file", before)
    killed = killed_at(monkeypatch, write, tmp_path, "file", b"new")
    assert killed == (write < (3 if before else 2))
    there = (tmp_path / "file").exists()
    assert (checksums.read(tmp_path, "file") if there else None) in (before, b"new")
    assert checksums.read(tmp_path, "other") == b"other"
    checksums.write(tmp_path, "file", b"newer")
    assert checksums.read(tmp_path, "file") == b"newer" and sha256sum(tmp_path)


def test_content_that_is_overwritten_is_not_accepted_any_more(folder):
    checksums.write(folder, "config.json", b"new")
    (folder / "config.json").write_bytes(CONTENT["config.json"])
    with pytest.raises(Failure, match=r"config.json is damaged"):
        checksums.read(folder, "config.json")


def test_a_file_without_a_line_is_not_read(folder):
    (folder / "done.json").write_text("{}")
    with pytest.raises(Failure, match=r"done.json is damaged"):
        checksums.read_json(folder, "done.json")


def test_a_folder_without_checksums_has_none(tmp_path):
    assert checksums.sums(tmp_path) == {} and checksums.fault(tmp_path, "checkpoints/1") == ""


@pytest.mark.parametrize("moment", ("before", "after"))
def test_a_reader_beside_a_writer_sees_the_old_content_or_the_new(folder, monkeypatch, moment):
    """The file is replaced, and its old line goes, just before or just after somebody looks at the lines."""
    usual = checksums.sums

    def beside(path):
        monkeypatch.setattr(checksums, "sums", usual)
        found = usual(path) if moment == "after" else None
        checksums.write(path, "config.json", b"new")
        return usual(path) if found is None else found

    monkeypatch.setattr(checksums, "sums", beside)
    assert checksums.read(folder, "config.json") in (CONTENT["config.json"], b"new")
