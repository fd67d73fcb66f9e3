from hypothesis import given
from hypothesis import strategies as st

from experiments.depth_frontier import search


@given(st.integers(0, 1100), st.integers(4, 1024), st.sampled_from((1, 2, 3)), st.sampled_from((0.0, 0.1, 0.5)))
def test_the_search_finds_the_frontier_to_its_precision(frontier, top, layers, precision):
    depths, tried = range(2 + layers, top + 1, layers), []

    def trains(depth):
        tried.append(depth)
        return depth <= frontier

    found = search(trains, depths, precision)
    possible = [depth for depth in depths if depth <= frontier]
    best = possible[-1] if possible else 0
    assert found <= best and set(tried) <= set(depths) and len(set(tried)) == len(tried) <= 20
    assert best <= found * (1 + precision) or (found == best)
