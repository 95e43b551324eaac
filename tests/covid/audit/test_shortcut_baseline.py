import numpy as np
import pytest
from PIL import Image

from covid.audit.image_features import image_features
from covid.audit.shortcut_baseline import (
    FILE_FEATURES,
    PIXEL_FEATURES,
    file_features,
    fit_linear_classifier,
    pixel_features,
)

SIDE = 32


@pytest.mark.parametrize("equal_classes", [False, True])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_nothing_near_the_fitted_weights_is_better(classes, equal_classes):
    """The objective by hand: Σ wₙ·cross-entropy + 0.001/2·‖W‖², a softmax over all classes, is least, and so level."""
    rng = np.random.default_rng(classes)
    targets = np.minimum(rng.geometric(0.5, 200) - 1, classes - 1)
    features = rng.normal(size=(200, 4)) * [1, 10, 0.1, 1] + targets[:, None] * [1, -5, 0, 0] + [3, 0, 0, 9]
    z = (features - features.mean(axis=0)) / features.std(axis=0)
    regression = fit_linear_classifier(features, targets, equal_classes=equal_classes)[-1]
    weight, bias = regression.coef_.T, regression.intercept_
    if classes == 2:  # softmax's two columns are plus and minus half of the one that there is
        weight, bias = weight * [-0.5, 0.5], bias * [-0.5, 0.5]
    counts = np.bincount(targets, minlength=classes)
    per_image = 1 / (classes * counts[targets]) if equal_classes else np.full(200, 1 / 200)
    powers = np.exp(z @ weight + bias)
    error = per_image[:, None] * (powers / powers.sum(axis=1, keepdims=True) - np.eye(classes)[targets])
    np.testing.assert_allclose(z.T @ error + 1e-3 * weight, 0, atol=1e-5)
    np.testing.assert_allclose(error.sum(axis=0), 0, atol=1e-5)
    assert abs(weight).max() > 0.1


def test_the_same_images_give_the_same_classifier():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(300, 12)), rng.integers(0, 3, 300)
    one, two = (fit_linear_classifier(features, targets)[-1] for _ in range(2))
    assert (one.coef_ == two.coef_).all() and (one.intercept_ == two.intercept_).all()


def test_equal_classes_find_the_rare_one():
    rng = np.random.default_rng(2)
    targets = (np.arange(1000) < 20).astype(int)
    features = rng.normal(size=(1000, 1)) + 1.5 * targets[:, None]
    plain = fit_linear_classifier(features, targets).predict(features)
    equal = fit_linear_classifier(features, targets, equal_classes=True).predict(features)
    assert plain[targets == 1].mean() < 0.2
    assert equal[targets == 1].mean() > 0.6


def test_a_constant_feature_and_a_class_without_images_are_borne():
    features = np.array([[1.0, 0.0], [1.0, 1.0], [1.0, 0.1], [1.0, 0.9]])
    classifier = fit_linear_classifier(features, np.array([0, 2, 0, 2]), equal_classes=True)
    assert classifier.predict(features).tolist() == [0, 2, 0, 2]


def with_border(n, levels, seed=0):
    """Images of noise whose outer two pixels have the class's level; the classes take turns."""
    rng = np.random.default_rng(seed)
    t = np.arange(n) % len(levels)
    x = rng.integers(0, 256, (n, 1, SIDE, SIDE), dtype=np.uint8)
    mask = np.ones((SIDE, SIDE), bool)
    mask[2:-2, 2:-2] = False
    for image, label in zip(x, t, strict=True):
        image[0, mask] = levels[label] + rng.integers(-5, 6, mask.sum())
    return x, t


def test_a_class_told_by_its_border_is_found_by_the_baseline():
    (x, t), (x_test, t_test) = with_border(120, (100, 150, 200)), with_border(60, (100, 150, 200), seed=1)
    classifier = fit_linear_classifier(pixel_features(x), t)
    assert (classifier.predict(pixel_features(x_test)) == t_test).mean() > 0.95
    noise, _ = with_border(60, (100, 100, 100), seed=2)
    assert (classifier.predict(pixel_features(noise)) == t_test).mean() < 0.5


def test_the_features_have_names_and_the_values_these_say(tmp_path):
    x = np.zeros((1, 1, 50, 50), np.uint8)
    x[..., :4, :] = 255  # the top edge, 8 %
    features = dict(zip(PIXEL_FEATURES, pixel_features(x)[0], strict=True))
    assert features["top edge"] == 255 and features["bottom edge"] == 0
    assert features["left edge"] == features["right edge"] == pytest.approx(255 * 4 / 50)
    assert (features["white share"], features["black share"], features["sharpness"]) == (0.08, 0.92, 0)
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(tmp_path / "image.png")
    features = dict(zip(FILE_FEATURES, file_features([image_features(tmp_path / "image.png")])[0], strict=True))
    assert features["aspect ratio"] == pytest.approx(np.log(2)) and features["pixels"] == pytest.approx(np.log(800))
    assert (features["JPEG"], features["colour"], features["black share"]) == (0, 0, 1)
