"""What readers of Markdown see of a table."""

from hyperrl_lab.studies.text import markdown_table


def test_a_bar_in_a_name_begins_no_column():
    table = markdown_table(["method", "P(better than a|b)"], [["a|b", "1"]])
    assert table.splitlines() == [r"| method | P(better than a\|b) |", "| --- | --- |", r"| a\|b | 1 |"]
