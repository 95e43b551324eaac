"""The summary: a table as text, and as HTML."""

import copy
import re

import tinycnn as tc
from tinycnn.summary import HEADINGS
from tinycnn.tables import html_table


def make() -> tc.Sequential:
    return tc.Sequential([tc.ImageInput((1, 4, 4), name="<in>"), tc.Conv2D(2, 3, name="conv")])


def test_a_summary_is_a_table_in_a_notebook():
    rows = make().summary()._repr_html_().split("<tr>")[1:]
    cells = [re.findall(">([^<>]*)</t[hd]>", row) for row in rows]
    assert cells == [
        list(HEADINGS),
        ["&lt;in&gt;", "ImageInput", "(1, 4, 4)", "0", "64 B"],
        ["conv", "Conv2D", "(2, 2, 2)", "20", "32 B"],  # 2·9 weights and 2 biases; 8 numbers of 4 bytes
        ["total", "", "", "20", "96 B"],
    ]


def test_a_network_shows_its_summary():
    net = make()
    assert net._repr_html_() == net.summary()._repr_html_()


def test_a_summary_is_text_and_can_be_copied():
    summary = make().summary()
    assert summary == str(summary) == repr(summary) and len(summary.splitlines()) == 4
    assert copy.deepcopy(summary)._repr_html_() == summary._repr_html_()


def test_numbers_are_aligned_to_the_right():
    table = html_table(["a", "b"], [["x", "1"]], text_columns=1)
    assert table.count("text-align: left") == table.count("text-align: right") == 2
