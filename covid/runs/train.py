"""From image files to trained weights: collect, split, prepare the pixels, and train into a run folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import tinycnn as tc
from covid.config import Config
from covid.data import collect, manifest
from covid.data.augment import Augmentation
from covid.data.manifest import Radiograph
from covid.data.split import split
from covid.errors import DataError
from covid.models import alexnet
from covid.models.paper import paper_network
from covid.models.pooled import pooled_network
from covid.runs.pixels import data_root, datasets
from covid.runs.provenance import Provenance
from covid.runs.run import Run, write_json
from tinycnn.schedules import Schedule


def start(config: Config, folder: Path | str, cache: Path, device: str = "cpu") -> Run:
    """Collect the images, split them, and train from the beginning into a new run folder."""
    run = Run.new(folder)
    root = data_root(config, cache)
    images = collect.collect(root)
    classes = manifest.class_names(images)
    if len(classes) < 2:
        raise DataError(
            f"training needs at least two classes, but {root} has usable images of {classes}; what was "
            f"found:\n{manifest.summary(images)}"
        )
    images = split(images, config.split, seed=config.seed if config.split_seed is None else config.split_seed)
    trained = sum(image.split == "train" for image in images)
    if trained < config.batch_size:
        raise DataError(
            f"the {trained} training images do not fill a batch of {config.batch_size}: give more images, or "
            "a smaller --batch-size"
        )
    config = dataclasses.replace(config, classes=tuple(classes))
    net = build_network(config)
    run.folder.mkdir(parents=True, exist_ok=True)
    manifest.write_manifest(run.manifest_file, images)
    config.write(run.config_file)
    return _train(run, config, net, images, root, cache, device, checkpoint=None)


def resume(folder: Path | str, cache: Path, device: str = "cpu", *, epochs: int | None = None) -> Run:
    """Go on with a run that was interrupted; it ends with the same bits as if it had not been.

    A larger number of `epochs` lengthens the run, a finished one too. With the piecewise schedule the bits are those of
    a run planned so from the start; a cosine depends on the number of epochs, and from here on it is the longer one's.
    Raises DataError for fewer epochs than the run is planned for.
    """
    run = Run.open(folder)
    config = run.config()
    if epochs is not None and epochs < config.epochs:
        raise DataError(
            f"--epochs is {epochs}, but {folder} is planned for {config.epochs}: give a larger number, or leave "
            "--epochs out"
        )
    plan = config if epochs is None else dataclasses.replace(config, epochs=epochs)
    if plan != config:
        print(_lengthening(config, plan))
    checkpoint = run.weights_file("last")
    begun = checkpoint.is_file()
    net = run.network("last") if begun else build_network(plan)
    return _train(run, plan, net, run.images(), data_root(plan, cache), cache, device, checkpoint if begun else None)


def _lengthening(config: Config, plan: Config) -> str:
    """What becomes of a run that is given more epochs, in a sentence."""
    told = f"The run goes on to {plan.epochs} epochs instead of {config.epochs}"
    if plan.schedule == "cosine":
        return (
            f"{told}. Its learning rate was falling along a cosine over {config.epochs} epochs, and follows the one "
            f"over {plan.epochs} from here on: the result is not that of a run planned for {plan.epochs} epochs."
        )
    return f"{told}, with the same result as if it had been planned so from the start."


class _Replan(tc.Callback):
    """Writes the run's settings once nothing can refuse the training any more, and takes away what they outdate."""

    def __init__(self, run: Run, config: Config):
        self.run, self.config = run, config

    def on_train_begin(self, trainer: tc.Trainer) -> None:
        if self.config != self.run.config():
            self.config.write(self.run.config_file)
            self.run.metrics_file.unlink(missing_ok=True)


def _train(
    run: Run,
    config: Config,
    net: tc.Sequential,
    images: Sequence[Radiograph],
    root: Path,
    cache: Path,
    device: str,
    checkpoint: Path | None,
) -> Run:
    print(f"images in {root}:\n{manifest.summary(images)}\n")
    data = datasets(images, config, root, cache)
    validation = "validation"
    if config.split != "patient":
        validation = "test"
        print("As in the paper, one hold-out serves for validation and test: the test accuracy is too good.\n")
    if not run.provenance_file.is_file():
        trained = [image.path for image in images if image.split == "train"]
        write_json(run.provenance_file, Provenance.of(trained, (x[0] for x in data["train"].images())).to_json())
    trainer = tc.Trainer(
        net.to(device),
        optimizer(config),
        schedule(config),
        [_Replan(run, config), tc.TrainingTable(), tc.Checkpoint(run.folder), tc.CSVLog(run.history_file)],
        batch_size=config.batch_size,
        drop_last=True,
        balanced=config.balanced,
        augment=Augmentation() if config.augment else None,
        batch_norm=config.batch_norm,
        validation_statistics=config.validation_statistics,
        seed=config.seed,
    )
    if checkpoint:
        trainer.resume(checkpoint)
    if trainer.ended and trainer.epoch >= config.epochs:
        print(f"All {config.epochs} epochs are finished; a larger --epochs goes on from here.")
    else:
        trainer.fit(data["train"], data[validation], epochs=config.epochs)
    run.write_environment(trainer.seconds)
    return run


def optimizer(config: Config) -> tc.Optimizer:
    """The optimizer that `config` asks for."""
    if config.optimizer == "adam":
        return tc.Adam(config.learning_rate, weight_decay=config.weight_decay)
    return tc.SGDM(config.learning_rate, config.momentum, config.weight_decay)


def schedule(config: Config) -> Schedule:
    """The learning rate's course that `config` asks for."""
    if config.schedule == "cosine":
        return tc.CosineSchedule()
    return tc.PiecewiseSchedule(config.drop_factor, config.drop_period)


def build_network(config: Config) -> tc.Sequential:
    """The network that `config` asks for, with random weights, or with those of AlexNet that it names."""
    if config.weights and config.network != "alexnet":
        raise DataError("--weights are for AlexNet: add --preset alexnet, or leave them out")
    shape = {"channels": config.channels, "classes": len(config.classes), "size": config.size, "seed": config.seed}
    if config.network == "pooled":
        return pooled_network(**shape)
    if config.network == "alexnet":
        tensors = alexnet.read_weights(config.weights) if config.weights else None
        net = alexnet.alexnet(**shape, variant=alexnet.variant_of(tensors) if tensors else "caffe")
        if tensors:
            print(alexnet.load_weights(net, tensors), "\n")
        return net
    return paper_network(**shape, padding=config.padding, variant=config.variant, mean_of=config.mean_of)
