"""A work directory in a bucket is like one on a disk; against a server that speaks Google Cloud Storage's protocol."""

import contextlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from commands import QUICK, ROOT, run, start

gcsfs = pytest.importorskip("gcsfs", reason="needs the extra [gcs]")
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


def swept(*arguments):
    command = [sys.executable, "-m", "launch.sweep", *map(str, arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ | QUICK, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_shards_in_a_bucket_are_stopped_go_on_on_other_machines_and_are_put_together(bucket, tmp_path, monkeypatch):
    from etils import epath

    experiment = [f"experiments.{COMMAND[0]}", "--depths=4,6", *COMMAND[2:], "--checkpoint_every=80"]
    shards = [f"{bucket}/shard-{place}" for place in (1, 2)]
    for place, shard in enumerate(shards, 1):
        for machine in ("first", "second"):  # of which each has its own disk
            monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / machine))
            process = swept(f"--shard={place}/2", f"--workdir={shard}", "--", *experiment)
            while machine == "first" and not list(epath.Path(shard).glob("units/*/run/points/*/manifests/*.json")):
                assert process.poll() is None, process.communicate()
                time.sleep(0.2)
            if machine == "first":
                process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=120)
            assert process.returncode == (143 if machine == "first" else 0), err
        out, _ = swept("--status", f"--from={','.join(shards)}").communicate(timeout=60)
        assert f"{place} done, 0 running, 0 failed, {2 - place} left of 2 units" in out
    for shard in shards:
        fetched = str(tmp_path / epath.Path(shard).name)
        gcsfs.GCSFileSystem(skip_instance_cache=True).get(f"{shard}/", fetched, recursive=True)
    swept(
        "--collect", f"--from={tmp_path}/shard-1,{tmp_path}/shard-2", f"--workdir={tmp_path}/whole", "--", *experiment
    ).communicate(timeout=120)
    assert run(COMMAND[0], "--depths=4,6", *COMMAND[2:], f"--workdir={tmp_path}/serial")[0] == 0
    made, taken = (
        {path.parent.name: path.read_text() for path in tmp_path.glob(f"{where}/points/*/done.json")}  # with times
        for where in ("shard-*/units/*/run", "whole/merged")
    )
    assert len(made) == 2 and taken == made
    assert (tmp_path / "whole/merged/results.csv").read_text() == (tmp_path / "serial/results.csv").read_text()
