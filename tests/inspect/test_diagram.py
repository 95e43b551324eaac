"""The diagram: well-formed, complete, without markup from names, and with nothing on top of anything else."""

import itertools
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import tinycnn as tc
from covid.models.paper import paper_network
from tests.inspect.networks import nested_network
from tinycnn.inspect.layout import place

SVG = "{http://www.w3.org/2000/svg}"


def parsed(net):
    return ElementTree.fromstring(net.diagram())


def texts(net):
    return ["".join(node.itertext()) for node in parsed(net).iter(f"{SVG}text")]


def test_every_layer_has_its_type_name_shape_and_parameters():
    found = texts(paper_network())
    assert found[0] == "23 layers, 52,287 parameters"
    start = found.index("conv_1")
    assert found[start - 1 : start + 3] == ["Conv2D 3×3", "conv_1", "8 × 222 × 222", "80 parameters"]
    assert found.count("3 values") == 5  # fc_1, dropout, fc_2, Softmax, class output
    layers = [str(layer.name) for layer in paper_network().layers]
    assert [text for text in found if text in layers and text != "Softmax"] == [n for n in layers if n != "Softmax"]


def test_blocks_are_frames_and_residuals_meet_again():
    net = nested_network()
    root = parsed(net)
    frames = [node for node in root.iter(f"{SVG}rect") if node.get("class") == "frame"]
    assert len(frames) == 3 and len(list(root.iter(f"{SVG}circle"))) == 2
    assert {"block: Residual", "stage: Sequential", "inner: Residual"} <= set(texts(net))


def boxes_inside(row):
    for box in row.boxes:
        yield box
        for inner in box.rows:
            yield from boxes_inside(inner)


@pytest.mark.parametrize("room", [100, 500, 900, 5000])
def test_no_box_lies_on_another_unless_it_is_inside_it(room):
    row = place(nested_network().layers, room)
    for a, b in itertools.combinations(boxes_inside(row), 2):
        apart = a.x + a.width <= b.x or b.x + b.width <= a.x or a.y + a.height <= b.y or b.y + b.height <= a.y
        inside = a.x < b.x and b.x + b.width < a.x + a.width and a.y < b.y and b.y + b.height < a.y + a.height
        assert apart or inside
    for box in boxes_inside(row):
        assert box.x >= 0 and box.x + box.width <= row.width + 1e-9
        assert box.y >= 0 and box.y + box.height <= row.height + 1e-9


def test_it_is_about_as_wide_for_its_height_as_a_slide():
    root = parsed(paper_network())
    assert 1.3 < float(root.get("width")) / float(root.get("height")) < 2.4


def test_hostile_names_stay_text():
    name = "<script>alert(1)</script>\"'&\x00\x1b]]>"
    net = tc.Sequential([tc.ImageInput((1, 4, 4), name=name), tc.Sequential([tc.ReLU(name=name)], name=name)])
    root = parsed(net)
    kinds = {node.tag.removeprefix(SVG) for node in root.iter()}
    assert kinds <= {"svg", "title", "style", "defs", "marker", "path", "rect", "text", "g", "circle"}
    titles = ["".join(node.itertext()) for node in root.iter(f"{SVG}title")]
    assert sum(title.startswith("<script>alert(1)</script>\"'&\ufffd\ufffd]]>") for title in titles) == 3


def test_long_names_are_cut_but_whole_in_the_tooltip():
    name = "x" * 300
    net = tc.Sequential([tc.ImageInput((1, 4, 4), name=name)])
    assert max(map(len, texts(net))) < 40 and name in net.diagram()


def test_it_is_written_to_a_file_and_is_the_same_every_time(tmp_path):
    net = nested_network(dtype=np.float32)
    assert net.diagram(tmp_path / "net.svg") == (tmp_path / "net.svg").read_text(encoding="utf-8") == net.diagram()
