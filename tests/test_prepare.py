import importlib.util

import pytest

from resjax import prepare
from resjax.system.errors import Failure, UserError


def test_a_missing_tensorflow_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs TensorFlow: install it with: pip install -e '\.\[prepare\]'"):
        prepare.run(prepare.Config(dataset="cifar10", data_dir=str(tmp_path)))
    assert not any(tmp_path.iterdir())


def test_a_missing_network_is_said(tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    def download(self):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    with pytest.raises(Failure, match="cannot prepare mnist: ConnectionError: no route to host"):
        prepare.run(prepare.Config(dataset="mnist", data_dir=str(tmp_path)))


def test_an_unknown_set_is_refused(tmp_path):
    with pytest.raises(UserError, match="unknown dataset 'nosuchset'"):
        prepare.run(prepare.Config(dataset="nosuchset", data_dir=str(tmp_path)))


def test_a_set_that_is_there_is_left_alone(tmp_path, capsys):
    import tiny_set

    tiny_set.prepare(tmp_path)
    prepare.run(prepare.Config(dataset="tiny_set", data_dir=str(tmp_path)))
    assert "tiny_set 1.2.0 is prepared in" in capsys.readouterr().out
