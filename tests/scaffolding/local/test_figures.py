"""The table of a benchmark's figures."""

from infra.local.figures import Figures


def test_each_figure_has_its_median_its_worst_and_how_often_it_was_taken() -> None:
    figures = Figures()
    figures.note("wait", 1.0, 3.0)
    figures.note("wait", 2.0)
    figures.note("answers", 120.4, 80.0, 100.0, unit="/s", more_is_better=True)
    figures.note("failures", 0.0, unit="")
    lines = [line.split() for line in figures.table().splitlines()]
    assert lines == [
        ["what", "median", "worst", "of"],
        ["wait", "2.00", "s", "3.00", "s", "3"],
        ["answers", "100", "/s", "80.0", "/s", "3"],
        ["failures", "0.00", "0.00", "1"],
    ]
    assert figures.median("wait") == 2.0


def test_figures_under_a_tenth_keep_three_digits() -> None:
    figures = Figures()
    figures.note("quick", 0.0416)
    assert "0.042 s" in figures.table()
