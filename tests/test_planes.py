"""Planes and lines through trained weights: their points, and losses and curvature there, one at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, jitter

from resjax import models, nn
from resjax.probes import curvature, loss_surface, planes
from resjax.probes.directions import displaced, filter_normalized


@pytest.fixture(scope="module")
def made():
    """A network with random parameters and state, images and labels, all in float64."""
    network = models.dense(6, width=3, classes=3, norm=nn.BatchNorm())
    images = jax.random.normal(jax.random.key(0), (8, 1, 1, 3), jnp.float64)
    params, state = map(double, jax.jit(network.init)(jax.random.key(1), images))
    return network, jitter(params, 2), jitter(state, 3), images, jnp.arange(8) % 3


def test_points_come_row_by_row_and_some_rows_are_a_part_of_all():
    plane = planes.Plane((None, None), np.array([1.0, 2.0, 3.0]), np.array([-1.0, 0.0]))
    assert plane.points().tolist() == [[x, y] for y in (-1, 0) for x in (1, 2, 3)]
    assert np.array_equal(np.concatenate([plane.points(slice(row, row + 1)) for row in range(2)]), plane.points())


def test_a_random_plane_has_the_weights_in_its_middle_and_two_directions(made):
    _, params, *_ = made
    plane = planes.random_plane(jax.random.key(4), params, 0.5, 3)
    assert plane.x.tolist() == plane.y.tolist() == [-0.5, 0, 0.5]
    for direction, key in zip(plane.directions, jax.random.split(jax.random.key(4)), strict=True):
        close(direction, filter_normalized(key, params))
    assert planes.random_plane(jax.random.key(4), params, 0.5, 1).points().tolist() == [[0, 0]]


def test_a_principal_plane_is_as_wide_as_the_way_to_the_origin_and_a_margin():
    plane = planes.principal_plane((None, None), np.array([[5.0, -1.0], [2.0, 3.0]]), 8)
    np.testing.assert_allclose(plane.x[[0, -1]], [-0.2 * 5, 1.2 * 5])
    np.testing.assert_allclose(plane.y[[0, -1]], [-1 - 0.2 * 4, 3 + 0.2 * 4])
    assert len(plane.x) == len(plane.y) == 8


def test_a_way_along_one_direction_has_no_plane():
    assert planes.share_in_plane(np.array([0.6, 0.3, 0.1])) == pytest.approx(0.9)
    assert np.isnan(planes.share_in_plane(np.array([1.0, 0.0]))) and np.isnan(planes.share_in_plane(np.full(2, np.nan)))


def test_losses_on_lines_are_those_of_the_networks_there(made):
    network, params, state, images, labels = made
    places = np.array([-0.5, 0.0, 1.0])
    found = loss_surface.line_losses(*made, jax.random.key(4), 2, places)
    for key, line in zip(jax.random.split(jax.random.key(4), 2), found, strict=True):
        direction = filter_normalized(key, params)
        for place, loss in zip(places, line, strict=True):
            there = jax.tree.map(lambda leaf, axis, place=place: leaf + place * axis, params, direction)
            chosen = jax.nn.log_softmax(network.apply(there, state, images)[0])[jnp.arange(8), labels]
            assert loss == pytest.approx(float(-chosen.mean()), rel=1e-10)


def test_curvature_over_a_plane_is_that_at_its_points(made):
    network, params, *rest = made
    plane = planes.random_plane(jax.random.key(4), params, 0.5, 2)
    largest, smallest = curvature.over_plane(*made, jax.random.key(5), 4, plane)
    for place, point in enumerate(plane.points()):
        there = displaced(params, plane.directions, point)
        values, _ = curvature.eigenvalues(network, there, *rest, jax.random.key(5), 4)
        assert (largest[place], smallest[place]) == (values.max(), values.min())


def test_negativity_leaves_out_what_is_no_number():
    found = curvature.negativity(np.array([2.0, 4.0, 0.0, np.nan, np.inf]), np.array([-1.0, 0.0, 1.0, 1.0, -np.inf]))
    assert found.tolist() == [0.5, 0.0]
