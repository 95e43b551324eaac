"""Datasets and batches: every image once an epoch, in an order that the seed and the epoch's number decide."""

import threading

import numpy as np
import pytest

import tinycnn as tc
from tinycnn.training.data import prefetch

X, T = np.arange(10.0).reshape(10, 1, 1, 1), np.arange(10) % 3


def orders(batches: tc.Batches, epoch: int = 1) -> list[list[int]]:
    return [x.ravel().astype(int).tolist() for x, _ in batches.epoch(epoch)]


def flat(batches: tc.Batches, epoch: int = 1) -> list[int]:
    return [image for batch in orders(batches, epoch) for image in batch]


def test_without_shuffling():
    assert orders(tc.Batches(tc.Dataset(X, T), 4, shuffle=False)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert orders(tc.Batches(tc.Dataset(X, T), 4, shuffle=False, drop_last=True)) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_every_image_once_with_its_label():
    batches = tc.Batches(tc.Dataset(X, T), 3)
    assert sorted(flat(batches)) == list(range(10)) != flat(batches)
    for x, t in batches.epoch(1):
        np.testing.assert_array_equal(t, x.ravel() % 3)


def test_order_depends_on_seed_and_epoch_alone():
    a, b = tc.Batches(tc.Dataset(X, T), 5), tc.Batches(tc.Dataset(X, T), 5)
    later = orders(a, 3)
    assert orders(b, 1) == orders(a, 1) and orders(b, 3) == later
    assert len({str(orders(a, epoch)) for epoch in range(1, 6)}) == 5
    assert orders(tc.Batches(tc.Dataset(X, T), 5, seed=1), 3) != later


def test_the_partial_batch_leaves_out_other_images_each_epoch():
    batches = tc.Batches(tc.Dataset(X, T), 4, drop_last=True)
    left_out = [frozenset(range(10)) - set(flat(batches, epoch)) for epoch in range(1, 9)]
    assert {len(left) for left in left_out} == {2} and len(set(left_out)) > 4


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("size", [1, 3, 5, 10])
def test_length(drop_last, size):
    batches = tc.Batches(tc.Dataset(X, T), size, drop_last=drop_last)
    assert len(batches) == len(orders(batches))


def test_subset_and_labels():
    data = tc.Dataset(X, T, indices=[7, 2, 9])
    assert len(data) == 3 and data.labels.tolist() == [1, 2, 0]
    assert [int(image.item()) for image in data.images()] == [7, 2, 9]
    assert flat(tc.Batches(data, 2, shuffle=False)) == [7, 2, 9]


def test_a_mask_chooses_images():
    assert tc.Dataset(X, T, T == 1).labels.tolist() == [1, 1, 1]
    assert len(tc.Dataset(X, T, [])) == 0


def test_targets_may_be_numbers_and_images_flat():
    t = np.random.default_rng(0).normal(size=(10, 3))
    x, targets = next(tc.Batches(tc.Dataset(X[:, :, 0, 0], t), 4, shuffle=False).epoch(1))
    assert x.shape == (4, 1)
    np.testing.assert_array_equal(targets, t[:4])


@pytest.mark.parametrize(
    ("size", "drop_last", "smallest"), [(3, False, 1), (3, True, 3), (5, False, 5), (12, False, 10)]
)
def test_the_smallest_batch(size, drop_last, smallest):
    batches = tc.Batches(tc.Dataset(X, T), size, drop_last=drop_last)
    assert batches.smallest == min(len(x) for x, _ in batches.epoch(1)) == smallest


def test_memory_mapped_images_are_converted_batch_by_batch(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.uint8))
    data = tc.Dataset(np.load(tmp_path / "x.npy", mmap_mode="r"), T)
    x, _ = next(tc.Batches(data, 4, dtype=np.float64).epoch(1))
    assert x.dtype == np.float64 and x.shape == (4, 1, 1, 1)


def test_prefetch_runs_ahead_in_another_thread_and_no_further():
    made, threads = [], set()
    third = threading.Event()

    def make(i: int) -> int:
        made.append(i)
        threads.add(threading.get_ident())
        if i == 2:
            third.set()
        return i * i

    items = prefetch(make, 6)
    assert next(items) == 0
    assert third.wait(5) and max(made) == 2  # item 0 is out, two more are on their way
    assert list(items) == [1, 4, 9, 16, 25]
    assert made == list(range(6)) and threading.get_ident() not in threads
    assert list(prefetch(make, 0)) == []


def test_prefetch_passes_errors_on():
    items = prefetch([1, 2].__getitem__, 3)
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(IndexError):
        next(items)


def test_pairs_and_datasets():
    data = tc.Dataset(X, T)
    assert tc.Dataset.of(data) is data
    np.testing.assert_array_equal(tc.Dataset.of((X, T.tolist())).labels, T)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: tc.Dataset(X[:, 0], T), ValueError, r"shape \(10, 1, 1\): give an array \(N, C, H, W\), or \(N, D\)"),
        (lambda: tc.Dataset(X, T[:9]), ValueError, r"10 images, but the labels have shape \(9,\): give one label an"),
        (lambda: tc.Dataset(X, 3), ValueError, r"10 images, but the labels have shape \(\)"),
        (lambda: tc.Dataset(X, T, [3, 10]), ValueError, "indices go from 3 to 10, but there are 10 images"),
        (lambda: tc.Dataset(X, T, [[3]]), ValueError, r"indices have shape \(1, 1\) .*a mask of 10 booleans"),
        (lambda: tc.Dataset(X, T, T[:9] == 1), ValueError, r"shape \(9,\) and dtype bool.*a mask of 10 booleans"),
        (lambda: tc.Dataset.of(7), TypeError, r"the data is 7: give images and labels as one pair \(x, t\), or a Data"),
        (lambda: tc.Dataset.of((X, T, T)), TypeError, "the data is a tuple: give images and labels as one pair"),
        (lambda: tc.Dataset.of(X[:2]), TypeError, r"the data is an array of shape \(2, 1, 1, 1\): give images and"),
        (
            lambda: tc.Batches(tc.Dataset(X, T), 0),
            ValueError,
            "batch_size is 0: give a whole number of images, at least 1",
        ),
        (lambda: tc.Batches(tc.Dataset(X, T), 2.5), ValueError, "batch_size is 2.5: give a whole number"),
        (lambda: tc.Batches(tc.Dataset(X, T), 11, drop_last=True), ValueError, "10 images do not fill a batch of 11"),
        (lambda: tc.Batches(tc.Dataset(X[:0], T[:0]), 1), ValueError, "no images to make batches of"),
        (lambda: tc.Batches(tc.Dataset(X, T / 7), balanced=True), ValueError, "balanced=True needs integer labels"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_balanced_batches_show_every_class_equally_often():
    t = np.array([0] * 2 + [1] * 20 + [2] * 8)
    data = tc.Dataset(np.arange(30).reshape(30, 1, 1, 1), t)
    batches = tc.Batches(data, 10, balanced=True, seed=4)
    seen = np.concatenate([x.ravel() for x, _ in batches.epoch(1)]).astype(int)
    assert np.bincount(t[seen]).tolist() == [10, 10, 10]
    times = np.bincount(seen, minlength=30)
    assert times[t == 0].tolist() == [5, 5] and set(times[t == 1]) == {0, 1} and set(times[t == 2]) == {1, 2}
    again, later = ([x.tolist() for x, _ in batches.epoch(number)] for number in (1, 2))
    assert again == [x.tolist() for x, _ in batches.epoch(1)] != later


def test_augment_changes_images_by_seed_epoch_and_batch():
    def noise(x, rng):
        assert x.dtype == np.uint8
        return x + rng.integers(0, 50, x.shape, dtype=np.uint8)

    data = tc.Dataset(np.zeros((6, 1, 2, 2), np.uint8), np.arange(6))
    epochs = [
        [x for x, _ in tc.Batches(data, 3, augment=noise, seed=seed).epoch(number)]
        for seed, number in ((1, 1), (1, 1), (1, 2), (2, 1))
    ]
    assert epochs[0][0].dtype == np.float32 and not data.x.any()
    np.testing.assert_array_equal(epochs[0], epochs[1])
    different = [*epochs[0], *epochs[2], *epochs[3]]
    assert len({x.tobytes() for x in different}) == 6
