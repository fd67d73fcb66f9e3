"""MNIST-1D against the paper's numbers and what its noise must be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from resjax import data, models, nn
from resjax.data import curves as generator


def flat(split):
    """Images (N 40) and labels (N)."""
    return np.asarray(split.images).reshape(len(split), -1), np.asarray(split.labels)


def test_it_has_the_papers_sizes_and_a_name():
    found = data.mnist1d()
    assert found.train.images.shape == (4000, 1, 40, 1) and found.test.images.shape == (1000, 1, 40, 1)
    assert found.train.images.dtype == np.float32 and (found.classes, found.name) == (10, "mnist1d")


def test_the_classes_are_balanced():
    labels = np.concatenate([flat(split)[1] for split in (data.mnist1d().train, data.mnist1d().test)])
    assert np.bincount(labels).tolist() == [500] * 10


def test_no_two_curves_are_equal():
    images = np.concatenate([flat(split)[0] for split in (data.mnist1d().train, data.mnist1d().test)])
    assert len(np.unique(images, axis=0)) == 5000


def test_a_linear_classifier_gets_what_the_paper_says():
    images, labels = flat(data.mnist1d().train)
    scale = images.std()
    trained = LogisticRegression(max_iter=2000).fit(images / scale, labels)
    test_images, test_labels = flat(data.mnist1d().test)
    assert abs(trained.score(test_images / scale, test_labels) - 0.32) < 0.045  # three standard errors of 1000


def test_there_are_ten_templates_of_twelve_points_that_start_at_zero():
    found = generator.templates()
    assert found.shape == (10, 12) and np.all(found[:, 0] == 0)
    np.testing.assert_allclose(found.std(1), 1 / 6)


def test_the_smoothed_noise_has_the_power_of_the_kernel():
    offsets = np.arange(-8, 9)  # scipy cuts the kernel off at four standard deviations
    kernel = np.exp(-(offsets**2) / (2 * generator.SMOOTHING**2))
    kernel /= kernel.sum()
    noise = generator.correlated_noise(np.random.default_rng(0), 200_000)
    assert noise.var() == pytest.approx(0.25**2 * (kernel**2).sum(), rel=0.03)


def test_the_white_noise_has_the_stated_power(monkeypatch):
    for name in ("SCALE", "SHEAR", "CORRELATED_NOISE"):
        monkeypatch.setattr(generator, name, 0.0)
    monkeypatch.setattr(generator, "POINTS", generator.LENGTH)  # not sampled, which would smooth
    rng = np.random.default_rng(0)
    curves = np.stack([generator.curve(rng, np.zeros(12)) for _ in range(1000)])
    assert curves.std() == pytest.approx(0.02, rel=0.02)


def test_a_curve_without_noise_is_its_template_stretched_and_moved(monkeypatch):
    for name in ("SCALE", "SHEAR", "CORRELATED_NOISE", "NOISE"):
        monkeypatch.setattr(generator, name, 0.0)
    monkeypatch.setattr(generator, "POINTS", generator.LENGTH)
    monkeypatch.setattr(generator, "PADDING", (60, 60))  # 72 points: nothing is stretched
    template = generator.templates()[3]
    found = generator.curve(np.random.default_rng(0), template)
    start = int(np.argmax(np.correlate(np.tile(found, 2), template, "valid")))
    np.testing.assert_allclose(np.roll(found, -start)[:12], template, atol=1e-7)
    np.testing.assert_allclose(np.roll(found, -start)[12:], 0, atol=1e-7)


def test_a_convolutional_network_keeps_a_curve_one_pixel_high():
    network = models.resnet(8, width=4, norm=nn.NoNorm())
    params, state = network.init(jax.random.key(0), jnp.zeros((1, 1, 40, 1)))
    stream = network.run_stem(params, state, jnp.zeros((2, 1, 40, 1)))
    last, _, _ = network.run_stages(params["stages"], state["stages"], stream)
    assert last.shape == (2, 1, 10, 16)
