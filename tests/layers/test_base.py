"""What every layer is saved by: its constructor's arguments."""

import pytest

import tinycnn as tc


class Scale(tc.Layer):
    def __init__(self, factor: float, offset: float = 0.0, name: str | None = None):
        super().__init__(name)
        self.factor = factor

    def forward(self, x, training=False):
        return x * self.factor


class AnyArguments(tc.ReLU):
    def __init__(self, **options):
        super().__init__(**options)


def test_an_argument_that_is_not_kept(tmp_path):
    words = r"Scale does not keep its argument 'offset', .* write self.offset = offset in its __init__"
    with pytest.raises(AttributeError, match=words):
        Scale(2.0).config()
    with pytest.raises(AttributeError, match=words):
        tc.Sequential([tc.VectorInput(2), Scale(2.0)]).save(tmp_path / "net.safetensors")
    with pytest.raises(AttributeError, match=r"of AnyArguments takes \*\*options.*give each argument a name"):
        AnyArguments().config()


def test_config_makes_the_layer_again():
    layer = tc.Conv2D(4, (3, 2), padding="same", initializer="he_normal", name="conv")
    assert tc.Conv2D(**layer.config()).config() == layer.config()
