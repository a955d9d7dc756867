import pytest

from agentroute.bench.gnn import bench_gnn


def test_both_sides_compute_the_same_network():
    rows = {r.name: r for r in bench_gnn(repeat=10)}
    assert set(rows) == {"gnn_numpy_us", "gnn_pyg_over_numpy", "gnn_parity_relative"}
    assert rows["gnn_parity_relative"].ok
    assert rows["gnn_pyg_over_numpy"].value > 1


@pytest.mark.bench
def test_serving_is_a_twelfth_of_pyg_and_under_150_us():
    assert all(r.ok for r in bench_gnn())
