"""How long an epoch waits for its images, and how fast images become pixels."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import tinycnn as tc
from benchmarks import machine
from benchmarks.contenders import LEARNING_RATE, MOMENTUM, WEIGHT_DECAY
from benchmarks.machine import Settings
from covid.config import Config
from covid.data import collect, manifest, phantom
from covid.data.split import split
from covid.models.paper import paper_network
from covid.runs import pixels
from tinycnn.training import data as batches

T = TypeVar("T")
PHANTOMS = 200  # of each class


def run(settings: Settings) -> dict[str, Any]:
    """Make pixels of all images from nothing, then train some epochs on them."""
    with tempfile.TemporaryDirectory() as folder:
        root = (
            Path(settings.data)
            if settings.data
            else phantom.write_phantoms(
                Path(folder, "phantoms"), 12 if settings.quick else PHANTOMS, seed=0, size=settings.size
            )
        )
        start = time.perf_counter()
        images = split(collect.collect(root), "patient", seed=0)
        collected = time.perf_counter() - start
        config = Config(channels=settings.channels, size=settings.size, classes=tuple(manifest.class_names(images)))
        used = sum(bool(image.split) for image in images)
        start = time.perf_counter()
        datasets = pixels.datasets(images, config, root, Path(folder, "cache"))
        prepared = time.perf_counter() - start
        epochs = _epochs(datasets["train"], settings, rounds=settings.rounds_or(5))
    shares = machine.summary([epoch["waiting"] / epoch["seconds"] for epoch in epochs])
    print(
        f"{len(images):,} images of {'a folder' if settings.data else 'phantoms'}: collected in {collected:.1f} s; "
        f"{used:,} used ones made pixels of in {prepared:.1f} s, {used / prepared:,.0f} images/s.\n"
    )
    print(
        machine.table(
            ["epoch", "s", "images", "waiting for images, s", "share"],
            [
                [
                    i,
                    f"{epoch['seconds']:.2f}",
                    f"{epoch['images']:,}",
                    f"{epoch['waiting']:.3f}",
                    f"{epoch['waiting'] / epoch['seconds']:.1%}",
                ]
                for i, epoch in enumerate(epochs, start=1)
            ],
        )
    )
    print(f"\nAn epoch waits for {shares['median']:.1%} of its time.")
    return {
        "images": len(images),
        "used": used,
        "collect_seconds": collected,
        "pixels_seconds": prepared,
        "images_per_second": used / prepared,
        "epochs": epochs,
        "waiting_share": shares,
    }


def _epochs(data: tc.Dataset, settings: Settings, rounds: int) -> list[dict[str, Any]]:
    """Seconds of each epoch of training, those spent waiting among them; a first one, to warm up, is left out."""
    net = paper_network(settings.channels, int(data.t.max()) + 1, size=settings.size)
    optimizer = tc.SGDM(LEARNING_RATE, MOMENTUM, WEIGHT_DECAY)
    trainer = tc.Trainer(net, optimizer, batch_size=settings.batch, drop_last=True)  # equal batches, to be counted
    with timed_prefetch() as epochs:
        trainer.fit(data, epochs=rounds + 1)
    return [{**epoch, "images": epoch["batches"] * settings.batch} for epoch in epochs[1:]]


@contextlib.contextmanager
def timed_prefetch() -> Iterator[list[dict[str, Any]]]:
    """Within the with-block, each pass through batches adds {seconds in all, of these waiting, batches} to the list."""
    records: list[dict[str, Any]] = []
    original = batches.prefetch

    def timed(make: Callable[[int], T], count: int, ahead: int = 2) -> Iterator[T]:
        start = time.perf_counter()
        record = {"seconds": 0.0, "waiting": 0.0, "batches": 0}
        waiting_since = start
        for batch in original(make, count, ahead):
            record["waiting"] += time.perf_counter() - waiting_since
            record["batches"] += 1
            yield batch
            waiting_since = time.perf_counter()
        record["seconds"] = time.perf_counter() - start
        records.append(record)

    batches.prefetch = timed
    try:
        yield records
    finally:
        batches.prefetch = original
