"""A work directory in a bucket is like one on a disk; against a server that speaks Google Cloud Storage's protocol."""

import contextlib
import signal
import socket
import time

import pytest
from commands import run, start

pytest.importorskip("gcsfs", reason="needs the extra [gcs]")
emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator")
from gcp_storage_emulator.exceptions import NotFound  # noqa: E402
from gcp_storage_emulator.handlers import objects  # noqa: E402

COMMAND = ("depth_scaling", "--depths=4", "--width=8", "--connections=residual", "--norms=batch", "--steps=400")


def with_generation(download):
    """What the stand-in leaves out of its answer and the real service does not: which generation of an object it is."""

    def answer(request, response, storage, *args, **kwargs):
        with contextlib.suppress(NotFound):
            found = storage.get_file_obj(request.params["bucket_name"], request.params["object_id"])
            response["x-goog-generation"] = found["generation"]
        return download(request, response, storage, *args, **kwargs)

    return answer


@pytest.fixture
def bucket(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    server = emulator.create_server(*address, in_memory=True, default_bucket="bucket")
    for name in ("STORAGE_EMULATOR_HOST", "TENSORSTORE_GCS_HTTP_URL"):
        monkeypatch.setenv(name, "http://{}:{}".format(*address))
    monkeypatch.setattr(objects, "download", with_generation(objects.download))
    server.start()
    try:
        yield "gs://bucket"
    finally:
        server.stop()


def read(path):
    from etils import epath

    return epath.Path(path).read_text()


def test_a_run_in_a_bucket_is_stopped_goes_on_and_ends_like_one_on_a_disk(bucket, tmp_path):
    from etils import epath

    process = start(*COMMAND, f"--workdir={bucket}/run", "--checkpoint_every=20")
    while not list(epath.Path(bucket).glob("run/points/*/manifests/*.json")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143
    assert run(*COMMAND, f"--workdir={bucket}/run", "--checkpoint_every=20")[0] == 0
    assert run(*COMMAND, f"--workdir={tmp_path}/run")[0] == 0
    for name in ("results.csv", "curves.csv"):
        assert read(f"{bucket}/run/{name}") == (tmp_path / "run" / name).read_text()
    assert run(*COMMAND, f"--workdir={bucket}/run", "--plot_only")[0] == 0
