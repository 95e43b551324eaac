"""The training loop: epochs of batches, validation, history, exact resume."""

from __future__ import annotations

import json
import math
import numbers
import time
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinycnn import backend, storage
from tinycnn.checks import checked_count, checked_instance, described
from tinycnn.layers import InputLayer
from tinycnn.optimizers import checked_optimizer
from tinycnn.runtime.device_loader import DeviceLoader
from tinycnn.schedules import ConstantSchedule, Schedule
from tinycnn.training.batch_statistics import check_batch_norm, population_statistics
from tinycnn.training.callbacks import Callback
from tinycnn.training.class_priors import correct_class_priors
from tinycnn.training.data import Augment, Batches, Dataset
from tinycnn.training.evaluation import accuracy, are_labels, check_fit, evaluate
from tinycnn.training.history import COLUMNS, History, Row
from tinycnn.training.progress import Progress

if TYPE_CHECKING:
    from tinycnn.network import Sequential
    from tinycnn.optimizers import Optimizer


class Trainer:
    """Trains a network: for every batch of every epoch one forward pass, one backward pass, one update.

    Args:
        net: the network. If its input layer is not fitted yet, its mean image is measured on the training images.
        optimizer: such as SGDM.
        schedule: the learning rate's multiplier for each epoch, schedule(epoch, epochs) → number; constant by default.
        callbacks: what else happens on the way, see `tinycnn.training.callbacks`.
        batch_size: images a step.
        drop_last: leave out an epoch's last batch if it is smaller.
        balanced: show every class equally often, see `Batches`; at the end the probabilities are turned back to the
            classes' own frequencies, see `correct_class_priors`.
        augment: changes the training images of a batch, augment(x, generator) → x; never those of validation.
        batch_norm: where batch norm's statistics for evaluation come from: "moving" averages gathered in training, or
            one more pass over the whole training set at the end ("population", as in MATLAB before 2021).
        validation_statistics: what batch norm uses when validating: its "moving" averages, or each "batch"'s own.
        validation_every: validate every so many iterations; at the end of each epoch by default.
        seed: of the order in which images are shown.
        progress: whether to show a progress bar; by default, in terminals and notebooks.

    Attributes:
        history: a History, one row (a dict with the keys of COLUMNS) an iteration.
        validation: the Dataset that this `fit` validates on, or None.
        has_labels: whether the targets of this `fit` are class labels, so that there is an accuracy.
        epoch, iteration: how many are finished.
        stopping: set it to True, in a callback for instance, and training ends after the current iteration.

    Raises:
        TypeError: for an optimizer, a schedule or a callback that is none, such as a class without brackets.
        ValueError: for another argument out of range.

    >>> import numpy as np, tinycnn as tc
    >>> net = tc.Sequential([tc.ImageInput((1, 8, 8)), tc.FullyConnected(2), tc.Softmax(), tc.ClassificationOutput()])
    >>> x = np.random.default_rng(0).random((32, 1, 8, 8)); t = (x.mean(axis=(1, 2, 3)) > 0.5).astype(int)
    >>> history = Trainer(net, tc.SGDM(lr=0.1), batch_size=16).fit((x, t), epochs=3)
    >>> len(history)
    6
    """

    def __init__(
        self,
        net: Sequential,
        optimizer: Optimizer,
        schedule: Schedule | None = None,
        callbacks: Sequence[Callback] = (),
        *,
        batch_size: int = 64,
        drop_last: bool = False,
        balanced: bool = False,
        augment: Augment | None = None,
        batch_norm: str = "moving",
        validation_statistics: str = "moving",
        validation_every: int | None = None,
        seed: int = 0,
        progress: bool | None = None,
    ):
        if batch_norm not in ("moving", "population"):
            raise ValueError(f'batch_norm is {batch_norm!r}: choose "moving" or "population"')
        if validation_statistics not in ("moving", "batch"):
            raise ValueError(f'validation_statistics is {validation_statistics!r}: choose "moving" or "batch"')
        if validation_every is not None:
            checked_count(validation_every, "validation_every", "iterations")
        self.net, self.optimizer = net, checked_optimizer(optimizer)
        self.schedule, self.callbacks = _checked_schedule(schedule), _checked_callbacks(callbacks)
        self.batch_size, self.drop_last, self.batch_norm = batch_size, drop_last, batch_norm
        self.balanced, self.augment, self.validation_statistics = balanced, augment, validation_statistics
        self.validation_every, self.seed, self.progress = validation_every, seed, progress
        self.history = History()
        self.validation: Dataset | None = None
        self.has_labels = True
        self.epoch = self.iteration = self.epochs = 0
        self.seconds = 0.0
        self.stopping = False
        self.ended = False  # whether what comes after the last epoch has been done
        self._end_changed: dict[str, tuple[Any, Any]] | None = None  # each array that this changed: (before, after)

    def fit(self, train: Any, validation: Any = None, epochs: int = 20) -> History:
        """Train until `epochs` epochs are finished in all: a second call goes on where the first ended, up to its own.

        So after fit(train, epochs=6), fit(train, epochs=6) has nothing to do, and warns; fit(train, epochs=12) trains
        six epochs more. Epochs before a `resume` count too. What schedules are told as `epochs` is this call's.

        Args:
            train: a Dataset or a pair (images (N, C, H, W), labels (N,)).
            validation: likewise, or None.
            epochs: how often each training image has been shown in the end.

        Returns:
            The history, of all calls.

        Raises:
            TypeError, ValueError: for data that does not fit the network.
            FloatingPointError: when the loss is no longer a number.
        """
        checked_count(epochs, "epochs", "epochs", smallest=0)
        data = Dataset.of(train, "train")
        check_fit(self.net, data)
        self.validation = None if validation is None else Dataset.of(validation, "validation")
        if self.validation:
            check_fit(self.net, self.validation)
        self.has_labels = are_labels(data.labels, self.net.shapes[-1])
        batches = self._batches(data)
        self._check_batch_norm(batches)
        if self.epoch and self.epoch >= epochs and self.ended:
            warnings.warn(
                f"fit(epochs={epochs}) has nothing to do: {self.epoch} epochs are finished, and epochs counts those "
                f"too; to train as many again, give epochs={self.epoch + max(epochs, 1)}",
                stacklevel=2,
            )
        self.epochs, self.stopping = epochs, False
        started = time.monotonic() - self.seconds
        self._tell("on_train_begin")
        self._fit_input(data)
        if epochs > self.epoch:
            self._undo_end()
        loader = DeviceLoader(self.net.device)
        remaining = max(0, epochs - self.epoch) * len(batches)
        with Progress(remaining, "training", unit="batch", enabled=self.progress) as bar:
            while self.epoch < epochs and not self.stopping:
                self._run_epoch(batches, loader, started, bar)
        if self.iteration and not self.ended:
            self._end(data)
        self._tell("on_train_end")
        return self.history

    def _batches(self, data: Dataset) -> Batches:
        return Batches(
            data,
            self.batch_size,
            drop_last=self.drop_last,
            balanced=self.balanced,
            augment=self.augment,
            seed=self.seed,
            dtype=self.net.dtype,
        )

    def _check_batch_norm(self, batches: Batches) -> None:
        """Make sure that no batch is too small for batch norm, in training nor where its statistics are measured."""
        check_batch_norm(self.net, batches)
        if self.batch_norm == "population":
            check_batch_norm(self.net, Batches(batches.data, self.batch_size))
        if self.validation and self.validation_statistics == "batch":
            check_batch_norm(self.net, Batches(self.validation, self.batch_size))

    def _end(self, data: Dataset) -> None:
        """What comes after the last epoch; it keeps what it changes, so that training can still be gone on with."""
        changes = self.batch_norm == "population" or self.balanced
        before = self._state() if changes else {}
        if self.batch_norm == "population":
            population_statistics(self.net, data, self.batch_size, balanced=self.balanced, augment=self.augment)
        if self.balanced:
            correct_class_priors(self.net, data.labels)
        after = self._state() if changes else {}
        self._end_changed = {
            name: (array, after[name]) for name, array in before.items() if not np.array_equal(array, after[name])
        }
        self.ended = True

    def _undo_end(self) -> None:
        """Go back to the network as the last epoch left it, to train more epochs from there."""
        if self.ended and self._end_changed is None and (self.balanced or self.batch_norm == "population"):
            raise ValueError(
                f"the training that ended after epoch {self.epoch} did not keep its batch norm averages and class "
                "priors, so it cannot be gone on with: train again with more epochs"
            )
        now = self._state()  # an array that someone changed since then stays as they want it
        changed = {
            name: old for name, (old, new) in (self._end_changed or {}).items() if np.array_equal(now[name], new)
        }
        self.net.load_state_dict({**now, **changed})
        self.ended, self._end_changed = False, None

    def _state(self) -> dict[str, np.ndarray]:
        """The network's arrays, on the CPU."""
        return {name: backend.to_device(array, "cpu") for name, array in self.net.state_dict().items()}

    def _run_epoch(self, batches: Batches, loader: DeviceLoader, started: float, bar: Progress) -> None:
        self.ended = False
        self.optimizer.lr_scale = self._lr_scale()
        for step, (x, t, labels) in enumerate(loader.epoch(batches, self.epoch + 1), start=1):
            # The loss is read here, in every iteration, so that callbacks and errors meet the network as this very
            # iteration left it. The wait costs little: the next batch is on its way to the GPU meanwhile.
            loss, p = self.net.train_step(x, t, self.optimizer, return_output=True, checked=loader.checked)
            self.iteration += 1
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at iteration {self.iteration}: lower the learning rate (now "
                    f"{self.optimizer.lr * self.optimizer.lr_scale:g}) or clip gradients with max_grad_norm"
                )
            row: Row = dict.fromkeys(COLUMNS)
            row.update(
                epoch=self.epoch + 1,
                iteration=self.iteration,
                loss=loss,
                accuracy=accuracy(p, labels),
                learning_rate=self.optimizer.lr * self.optimizer.lr_scale,
            )
            every = self.validation_every
            due = self.iteration % every == 0 if every else step == len(batches)
            if self.validation is not None and due:
                result = evaluate(self.net, self.validation, self.batch_size, statistics=self.validation_statistics)
                row.update(validation_loss=result.loss, validation_accuracy=result.accuracy)
            self.seconds = row["seconds"] = time.monotonic() - started
            self.history.append(row)
            self._tell("on_iteration_end")
            bar.update(1, note=f"epoch {row['epoch']}/{self.epochs}  loss {loss:.4f}")
            if self.stopping:
                break
        self.epoch += 1
        self._tell("on_epoch_end")

    def _lr_scale(self) -> float:
        scale = self.schedule(self.epoch + 1, self.epochs)
        if not isinstance(scale, numbers.Real) or not 0 <= scale < math.inf:
            raise ValueError(
                f"the schedule gives {scale!r} for epoch {self.epoch + 1}: it must give a number ≥ 0, "
                "which the learning rate is multiplied by"
            )
        return float(scale)

    def _fit_input(self, data: Dataset) -> None:
        layer = self.net.layers[0]
        if isinstance(layer, InputLayer) and not layer.fitted:
            layer.fit(data.images())

    def _tell(self, event: str) -> None:
        for callback in self.callbacks:
            getattr(callback, event)(self)

    def save_checkpoint(self, path: str | Path) -> None:
        """Write the network, and all it takes to go on exactly from here, into a file that `tinycnn.load` reads too.

        Raises:
            OSError: when the file cannot be written; an existing one is then left as it was.
        """
        memory = {f"optimizer/{name}": backend.to_device(array, "cpu") for name, array in self.optimizer.state.items()}
        for name, (array, _) in (self._end_changed or {}).items():
            memory[f"before_end/{name}"] = array
        progress = {
            "epoch": self.epoch,
            "iteration": self.iteration,
            "seconds": self.seconds,
            "history": self.history,
            "ended": self.ended,
            "before_end": self._end_changed is not None,
            "steps": self.optimizer.steps,
            "generator": self.net.rng.bit_generator.state,
        }
        storage.save_network(self.net, path, memory, {"training": json.dumps(progress)})

    def resume(self, path: str | Path) -> None:
        """Go back to the state that `save_checkpoint(path)` saved; `fit` then continues with the same bits.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when it is damaged, holds no training state, or belongs to another network.
        """
        tensors, metadata = storage.load_file(path)
        if "training" not in metadata:
            raise ValueError(f"{path} holds no training state: resume from a checkpoint such as last.safetensors")
        progress = json.loads(metadata["training"])
        prefix, before_end = "optimizer/", "before_end/"
        self.net.load_state_dict(
            {name: array for name, array in tensors.items() if not name.startswith((prefix, before_end))}
        )
        before = {name.removeprefix(before_end): a for name, a in tensors.items() if name.startswith(before_end)}
        now = self._state()
        self._end_changed = {name: (a, now[name]) for name, a in before.items()} if progress.get("before_end") else None
        self.net.rng.bit_generator.state = progress["generator"]
        self.optimizer.state = {
            name.removeprefix(prefix): array for name, array in tensors.items() if name.startswith(prefix)
        }
        self.optimizer.steps = progress["steps"]
        self.epoch, self.iteration = progress["epoch"], progress["iteration"]
        self.seconds, self.ended = progress["seconds"], progress["ended"]
        self.history = History(progress["history"])


def _checked_schedule(schedule: Any) -> Schedule:
    if schedule is None:
        return ConstantSchedule()
    if isinstance(schedule, type):
        raise TypeError(
            f"schedule is the class {schedule.__name__}: make an object of it with brackets, {schedule.__name__}(…)"
        )
    if not callable(schedule):
        raise TypeError(
            f"schedule is {described(schedule)}: give a function of (epoch, epochs), such as tc.PiecewiseSchedule(), "
            "or None for a constant learning rate"
        )
    return schedule


def _checked_callbacks(callbacks: Any) -> list[Callback]:
    if isinstance(callbacks, (str, type, Callback)) or not isinstance(callbacks, Iterable):
        raise TypeError(f"callbacks is {described(callbacks)}: give a list, such as [tc.EarlyStopping()]")
    return [
        checked_instance(callback, Callback, f"callbacks[{i}]", "an object of a subclass of tc.Callback")
        for i, callback in enumerate(callbacks)
    ]
