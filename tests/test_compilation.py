"""Compiled programs that are kept on disk: a damaged one is named and compiled again, never run."""

import random
import subprocess
import sys
import zlib

import pytest
from commands import ROOT

KEEPING = """
import pathlib, sys
from resjax.training import compilation
compilation.keep(pathlib.Path(sys.argv[1]))
import jax
print(jax.jit(lambda x: jax.numpy.sin(x @ x).sum())(jax.numpy.eye(9)))
"""
WITH_ZSTD = """
import sys, types
sys.modules["zstandard"] = sys.modules["compression.zstd"] = types.ModuleType("zstandard")  # without any function
"""


def start(script, folder):
    """What a process prints that keeps its programs there, and what it says on stderr."""
    command = [sys.executable, "-c", script, folder]
    done = subprocess.run(command, cwd=ROOT, env={}, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def programs(folder):
    found = sorted(folder.glob("*-cache"))
    assert found
    return found


def test_a_damaged_program_is_named_once_and_compiled_again(tmp_path):
    draw = random.Random(0)
    sound = start(KEEPING, tmp_path)
    assert sound[1] == "" and start(KEEPING, tmp_path) == sound
    for path in programs(tmp_path):
        content = bytearray(path.read_bytes())
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        path.write_bytes(content)
    line = f"{tmp_path} is damaged: compiling again what cannot be read\n"
    assert start(KEEPING, tmp_path) == (sound[0], line)
    assert start(KEEPING, tmp_path) == sound


def test_programs_carry_a_checksum_also_where_there_is_zstd(tmp_path):
    start(WITH_ZSTD + KEEPING, tmp_path)
    for path in programs(tmp_path):
        zlib.decompress(path.read_bytes())


def test_without_that_a_flipped_bit_would_be_run(tmp_path):
    zstandard = pytest.importorskip("zstandard")
    start(KEEPING, tmp_path)
    program = zlib.decompress(programs(tmp_path)[0].read_bytes())
    compressed = zstandard.ZstdCompressor().compress(program)  # as JAX does
    silent = 0
    for at in range(len(compressed)):
        flipped = compressed[:at] + bytes([compressed[at] ^ 1]) + compressed[at + 1 :]
        try:
            silent += zstandard.ZstdDecompressor().decompress(flipped) != program
        except zstandard.ZstdError:
            continue
    assert silent > len(compressed) / 4
