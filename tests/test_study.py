"""The loop of a study, with networks that are numbers: order, other processes, checks before anything is done."""

import dataclasses
import threading
import time

import pandas as pd
import pytest
from commands import holding
from product_study import MADE, STUDY, Config

from resjax.system.errors import UserError
from resjax.training import compilation


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the study with these options in this process: the numbers that were made, and the rows (depth, value)."""
    monkeypatch.setattr(compilation, "keep", lambda folder: None)

    def run(study=STUDY, **options):
        MADE.clear()
        study.run(Config(**{"workdir": str(tmp_path / "run")} | options))
        table = pd.read_csv(tmp_path / "run/results.csv") if not options.get("shard") else pd.DataFrame()
        return list(MADE), list(table.itertuples(index=False, name=None))

    return run


def folder(tmp_path, depth):
    (found,) = (tmp_path / "run/store").glob(f"*-{depth}-0-*")
    return found


def test_a_row_a_trial_in_their_order_in_every_table(run, tmp_path):
    assert run(depths=(3, 1), factor=0.5)[1] == [(3, 1.5), (1, 0.5)]
    assert (tmp_path / "run/long.csv").read_text() == "depth,at\n3,0\n3,1\n1,0\n1,1\n"


def test_what_was_measured_is_found_again_and_only_the_rest_is_measured(run):
    assert run(depths=(1, 2)) == ([1, 2], [(1, 1.0), (2, 2.0)])
    assert run(depths=(3, 2, 1)) == ([3], [(3, 3.0), (2, 2.0), (1, 1.0)])
    assert run(factor=2.0)[0] == [1, 2, 3]  # another question
    assert run(repeat=5)[0] == []  # the same, written out at greater length


def test_a_store_of_ones_own_is_shared_by_work_directories(run, tmp_path):
    run(store=str(tmp_path / "shared"), workdir=str(tmp_path / "other"), depths=(1,), shard="1/1")
    assert run(store=str(tmp_path / "shared"), depths=(1, 2))[0] == [2]
    assert not (tmp_path / "run/store").exists()


def test_a_network_at_which_somebody_else_is_comes_last_and_the_rows_keep_their_order(run, tmp_path):
    run()
    record = next((folder(tmp_path, 1) / "measured").iterdir())
    record.unlink()
    next((folder(tmp_path, 3) / "measured").iterdir()).unlink()
    with holding(folder(tmp_path, 1) / "lock") as other:

        def release():  # once the third is made
            while 3 not in MADE:
                time.sleep(0.01)
            time.sleep(0.3)
            other.kill()

        thread = threading.Thread(target=release)
        thread.start()
        assert run() == ([3, 1], [(1, 1.0), (2, 2.0), (3, 3.0)])
        thread.join()


def test_what_another_process_has_made_meanwhile_is_not_made_again(run, tmp_path):
    run()
    record = next((folder(tmp_path, 1) / "measured").iterdir())
    hidden = record.rename(tmp_path / "hidden")
    with holding(folder(tmp_path, 1) / "lock") as other:

        def finish():
            hidden.rename(record)
            other.kill()

        timer = threading.Timer(0.5, finish)
        timer.start()
        assert run()[0] == []
        timer.join()


def test_a_trial_that_cannot_be_is_refused_before_anything_is_done(run, tmp_path):
    with pytest.raises(UserError, match="brings bad luck"):
        run(depths=(1, 13))
    assert MADE == [] and not list(tmp_path.iterdir())


def test_check_does_nothing_else():
    STUDY.check(["--depths=1,2"])
    with pytest.raises(UserError, match="brings bad luck"):
        STUDY.check(["--depths=13"])


def test_the_figure_comes_from_the_tables_alone(run, tmp_path):
    run()
    figure = tmp_path / "run/figure.png"
    drawn = figure.read_bytes()
    figure.unlink()
    assert run(plot_only=True)[0] == [] and figure.read_bytes() == drawn


def test_while_one_command_draws_no_other_writes_the_tables(run, tmp_path):
    drawn = []

    def draw(tables, canvas):
        with pytest.raises(AssertionError), holding(tmp_path / "run/lock"):
            pass
        drawn.append(len(tables["results"]))

    run(dataclasses.replace(STUDY, draw=draw))
    run(dataclasses.replace(STUDY, draw=draw), plot_only=True)
    assert drawn == [3, 3]


def test_plot_only_with_other_options_is_refused(run):
    run()
    with pytest.raises(UserError, match=r"of other options: factor is 1.0 there and 3.0 here$"):
        run(factor=3.0, plot_only=True)


def test_shards_make_each_network_once_and_leave_the_tables_to_the_plain_command(run, tmp_path):
    assert run(shard="1/2")[0] == [1, 3] and run(shard="2/2")[0] == [2]
    assert not (tmp_path / "run/results.csv").exists()
    assert run() == ([], [(1, 1.0), (2, 2.0), (3, 3.0)])


@pytest.mark.parametrize("shard", ("0/2", "3/2", "1", "1/", "/2", "a/b", "-1/2", "1/2/3"))
def test_shards_that_cannot_be_are_refused_and_nothing_is_made(run, tmp_path, shard):
    with pytest.raises(UserError, match=f"--shard={shard}: must be i/n with i from 1 to n"):
        run(shard=shard)
    assert not list(tmp_path.iterdir())
