"""One process at a time at a file, whatever becomes of the process."""

import re
import signal
import socket

import pytest
from commands import holding

from resjax.system import lock
from resjax.system.errors import Failure


@pytest.fixture
def holder(tmp_path):
    """A process that has the lock."""
    with holding(tmp_path / "lock") as process:
        yield process


def test_who_comes_second_is_told_who_is_there_and_since_when(holder, tmp_path):
    who = f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()} since "
    with pytest.raises(lock.Held) as held, lock.alone(tmp_path / "lock"):
        pass
    assert re.fullmatch(re.escape(who) + r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", str(held.value))
    assert isinstance(held.value, Failure) and holder.poll() is None


@pytest.mark.parametrize("number", (signal.SIGKILL, signal.SIGTERM))
def test_a_lock_ends_with_its_process_however_that_went(holder, tmp_path, number):
    holder.send_signal(number)
    holder.wait()
    with lock.alone(tmp_path / "lock"):
        pass


def test_a_lock_ends_with_its_context(tmp_path):
    with lock.alone(tmp_path / "lock"):
        pass
    with holding(tmp_path / "lock"):
        pass


@pytest.mark.parametrize("content", (b"", b"\xff\xfe\0", b"nobody"))
def test_a_lock_whose_text_is_damaged_still_holds(holder, tmp_path, content):
    (tmp_path / "lock").write_bytes(content)
    with pytest.raises(lock.Held, match=f"{tmp_path} is in use by "), lock.alone(tmp_path / "lock"):
        pass


def test_who_waits_for_its_turn_gets_it_when_the_other_is_gone(holder, tmp_path):
    waited = []

    def waiting():
        waited.append(holder.poll())
        if len(waited) == 3:
            holder.kill()
            holder.wait()

    with lock.alone_in_turn(tmp_path / "lock", waiting):
        assert waited == [None] * 3 and holder.poll() is not None


def test_who_waits_can_give_up(holder, tmp_path):
    def waiting():
        raise InterruptedError

    with pytest.raises(InterruptedError), lock.alone_in_turn(tmp_path / "lock", waiting):
        pass
    assert holder.poll() is None


def test_a_bucket_has_no_locks():
    with lock.alone("gs://bucket/lock"), lock.alone("gs://bucket/lock"):
        pass
