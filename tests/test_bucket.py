"""A work directory in a bucket is like one on a disk; against a server that speaks Google Cloud Storage's protocol."""

import contextlib
import http.server
import json
import signal
import socket
import threading
import time

import pytest
from commands import checkpointed, run, start

gcsfs = pytest.importorskip("gcsfs", reason="needs the extra [gcs]")
emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needs gcp-storage-emulator")
from gcp_storage_emulator.exceptions import NotFound  # noqa: E402
from gcp_storage_emulator.handlers import objects  # noqa: E402

COMMAND = (
    "depth_scaling",
    "--depths=4",
    "--learning_rate=0.05",
    "--width=8",
    "--connections=residual",
    "--norms=batch",
    "--steps=400",
)


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
    while not checkpointed(epath.Path(f"{bucket}/run")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 143
    assert run(*COMMAND, f"--workdir={bucket}/run", "--checkpoint_every=20")[0] == 0
    assert run(*COMMAND, f"--workdir={tmp_path}/run")[0] == 0
    for name in ("results.csv", "curves.csv"):
        assert read(f"{bucket}/run/{name}") == (tmp_path / "run" / name).read_text()
    assert run(*COMMAND, f"--workdir={bucket}/run", "--plot_only")[0] == 0


class Forbidding(http.server.BaseHTTPRequestHandler):
    """A service that knows nobody."""

    def do_GET(self):
        answer = json.dumps({"error": {"code": 401, "message": "Anonymous caller does not have access"}}).encode()
        self.send_response(401)
        self.send_header("Content-Length", len(answer))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *arguments):
        pass


def test_a_bucket_that_may_not_be_read(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forbidding) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        code, _, err = run(*COMMAND, "--workdir=gs://bucket/run")
        server.shutdown()
    assert code == 2 and "gs://bucket/run cannot be read: Anonymous caller does not have access" in err
    assert "Traceback" not in err


def test_shards_in_a_bucket_are_stopped_go_on_and_leave_the_tables_to_the_plain_command(bucket, tmp_path):
    from etils import epath

    command = (COMMAND[0], "--depths=4,6", *COMMAND[2:], "--checkpoint_every=80", f"--workdir={bucket}/run")
    first = start(*command, "--shard=1/2")
    while not checkpointed(epath.Path(f"{bucket}/run")):
        assert first.poll() is None, first.communicate()
        time.sleep(0.2)
    first.send_signal(signal.SIGTERM)
    first.communicate()
    assert first.returncode == 143
    for shard in ("2/2", "1/2"):
        code, said, err = run(*command, f"--shard={shard}")
        assert (code, said.count(": train accuracy")) == (0, 1), err
    code, said, err = run(*command)
    assert (code, said.count(": train accuracy")) == (0, 0), err
    assert run(COMMAND[0], "--depths=4,6", *COMMAND[2:], f"--workdir={tmp_path}/serial")[0] == 0
    for name in ("results.csv", "curves.csv"):
        assert read(f"{bucket}/run/{name}") == (tmp_path / "serial" / name).read_text()
