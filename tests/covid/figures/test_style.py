"""What all figures share: names taken literally, files written whole, nothing global changed."""

import io
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from covid.evaluation.curves import Curve
from covid.figures import style
from covid.figures.audit_charts import occlusion_sheet, perturbation_chart
from covid.figures.charts import confusion_chart, training_chart
from covid.figures.curve_charts import Row, interval_chart, precision_recall_chart, reliability_chart, roc_chart

HOSTILE = [r"$x$ \frac{", "_begins", "a\nnew line", "%s {} \\", "肺炎", "عدوى", "\x07\udcff", "$" * 3, "", "W" * 200]


def draw(kind, names, file=None):
    """A figure of this kind about classes of these names."""
    k = len(names)
    if kind == "confusion":
        return confusion_chart(np.eye(k, dtype=int) * 3, names, file)
    if kind in ("roc", "precision-recall"):
        curves = [Curve(name, np.array([0.0, 0.5, 1]), np.array([0.2, 0.7, 1]), 0.75, (0.6, 0.9)) for name in names]
        return (roc_chart if kind == "roc" else precision_recall_chart)(curves, file)
    if kind == "reliability":
        bins = {
            "low": 0.5,
            "high": 1.0,
            "count": 3,
            "confidence": 0.8,
            "accuracy": 0.7,
            "accuracy_interval": [0.2, 0.9],
        }
        return reliability_chart({name: [bins] for name in names}, file)
    if kind == "intervals":
        rows = [Row(name, 0.5, 0.4, 0.6, 0.7) for name in names]
        return interval_chart(rows, file, title=names[0], value_name=names[1], reference_name=names[-1])
    if kind == "occlusions":
        return occlusion_sheet({name: np.full((1, 32, 32), 90, np.uint8) for name in names}, file)
    row = {"accuracy": 0.5, "interval": [0.4, 0.6], "kind": "untouched"}
    row["sensitivity"] = {name: {"value": 0.5, "interval": [0.4, 0.6]} for name in names}
    audit = {"conditions": [{"name": name, **row} for name in names], "classes": names, "images": 7}
    return perturbation_chart({**audit, "majority": {"class": names[0], "accuracy": 0.4}}, file)


KINDS = ("confusion", "roc", "precision-recall", "reliability", "intervals", "occlusions", "perturbations")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [slice(None), slice(3), slice(4, 7)])
def test_hostile_names_are_drawn_literally_and_stay_on_the_picture(kind, kept):
    names = list(dict.fromkeys(HOSTILE[kept]))
    file = io.BytesIO()
    figure = draw(kind, names, file)  # a warning, such as of a missing glyph, would fail the test
    assert file.getvalue().startswith(b"\x89PNG")
    texts = figure.findobj(Text)
    assert not any(text.get_parse_math() or text.get_usetex() for text in texts)
    drawn = " ".join(text.get_text() for text in texts).replace("\n", " ")
    for name in ("$x$", "_begins", "a new line"):
        assert name in drawn or kept == slice(4, 7)
    box, whole = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole[0] and box.y1 <= whole[1]


def test_characters_without_a_glyph_are_written_as_their_codes(monkeypatch):
    monkeypatch.setattr(style, "_characters", lambda: frozenset(range(32, 0x2027)))
    assert style.literal("肺炎 é…") == "\\u80ba\\u708e é…".replace("…", "…" if 0x2026 < 0x2027 else "\\u2026")
    assert style.literal("\udcff\x00\U0001f600") == "\\udcff\\x00\\U0001f600"
    assert style.literal(" a\t b\n") == "a b"


def test_text_fits_the_room_it_is_given():
    text = "some words_and more, 12345 of them"
    for room in (20, 60, 100, 300):
        for lines in (1, 2, 3):
            fitted = style.fit(text, room, 9, lines).split("\n")
            assert len(fitted) <= lines and all(style.text_width(line, 9) <= room for line in fitted)
            if not any("…" in line for line in fitted):
                assert " ".join(fitted).replace("_ ", "_") == text
    assert style.fit(text, 300, 9) == text and style.fit("", 10, 9) == ""


def test_text_is_as_wide_as_matplotlib_draws_it():
    figure = style.new_figure(1)
    text = figure.text(0, 0, "Wide words", size=12, fontfamily="DejaVu Sans")
    points = text.get_window_extent().width / style.DPI * 72
    assert style.text_width("Wide words", 12) == pytest.approx(points, rel=0.03)


def test_a_figure_goes_into_a_file_of_the_kind_its_name_says_or_into_memory(tmp_path):
    memory = io.BytesIO()
    for target in (memory, tmp_path / "file.png", str(tmp_path / "name.png")):
        confusion_chart([[2, 0], [1, 3]], ["a", "b"], target)
    assert memory.getvalue() == (tmp_path / "file.png").read_bytes() == (tmp_path / "name.png").read_bytes()
    for kind, start in (("svg", b"<?xml"), ("pdf", b"%PDF")):
        confusion_chart([[2]], ["a"], tmp_path / f"c.{kind}")
        assert (tmp_path / f"c.{kind}").read_bytes().startswith(start)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.pdf", "c.svg", "file.png", "name.png"]


def half(path, content):
    with open(path, "wb") as file:
        file.write(content[: len(content) // 2])
    raise OSError("no space left on device")


def failing(*args, **options):
    raise RuntimeError("cannot draw")


@pytest.mark.parametrize(
    ("owner", "method", "replacement"), [(Path, "write_bytes", half), (Figure, "savefig", failing)]
)
def test_a_failing_save_leaves_what_was_there(tmp_path, monkeypatch, owner, method, replacement):
    picture = tmp_path / "c.png"
    confusion_chart([[2]], ["a"], picture)
    before = picture.read_bytes()
    monkeypatch.setattr(owner, method, replacement)
    with pytest.raises((OSError, RuntimeError)):
        confusion_chart([[3]], ["a"], picture)
    assert picture.read_bytes() == before and list(tmp_path.iterdir()) == [picture]


def test_figures_are_drawn_in_threads_and_nothing_global_changes():
    def picture(i):
        file = io.BytesIO()
        draw(KINDS[i % 4], ["one", "two", "three"], file)
        return file.getvalue()

    settings = dict(matplotlib.rcParams)
    alone = [picture(i) for i in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(picture, range(8)))
    assert together == alone and alone[:4] == alone[4:]
    assert dict(matplotlib.rcParams) == settings


def test_settings_of_the_user_do_not_matter():
    plain, changed = io.BytesIO(), io.BytesIO()
    draw("confusion", ["a_b", "$x$"], plain)
    with matplotlib.rc_context({"text.usetex": True, "font.family": "serif", "savefig.facecolor": "black"}):
        draw("confusion", ["a_b", "$x$"], changed)
    assert plain.getvalue() == changed.getvalue()


def test_matplotlib_is_imported_when_a_figure_is_drawn_and_pyplot_never():
    code = """
import sys
import covid.figures.charts, covid.figures.curve_charts, covid.figures.audit_charts
print("matplotlib" in sys.modules)
import io
covid.figures.charts.confusion_chart([[1]], ["a"], io.BytesIO())
print("matplotlib" in sys.modules, "matplotlib.pyplot" in sys.modules)"""
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.split() == ["False", "True", "False"]


def test_a_training_chart_takes_a_file_too():
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        training_chart([{"epoch": 1, "iteration": 1, "loss": 1.0, "accuracy": 0.5}], file)
    assert file.getvalue().startswith(b"\x89PNG")
