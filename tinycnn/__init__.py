"""tinycnn: convolutional networks from scratch, clear enough to read in class and fast enough to train with.

Shape letters, everywhere: N images, C channels, H × W pixels; O filters of KH × KW; OH × OW pixels out; K classes.
Arrays are NCHW. NumPy in, NumPy out; CuPy in, CuPy out.
"""

from tinycnn import backend, initializers, inspect, interop, kernels, plot
from tinycnn._version import __version__
from tinycnn.about import describe
from tinycnn.gradcheck import gradcheck
from tinycnn.interop.pytorch import from_torch, to_torch
from tinycnn.layers import (
    AveragePool2D,
    BatchNorm1D,
    BatchNorm2D,
    Block,
    ClassificationOutput,
    Conv2D,
    CrossChannelNorm,
    Dropout,
    Flatten,
    FullyConnected,
    GlobalAveragePool2D,
    ImageInput,
    InputLayer,
    Layer,
    LeakyReLU,
    MaxPool2D,
    OutputLayer,
    RegressionOutput,
    ReLU,
    Residual,
    Sigmoid,
    Softmax,
    Tanh,
    VectorInput,
)
from tinycnn.loading import load
from tinycnn.network import Sequential
from tinycnn.optimizers import SGDM, Adam, Optimizer
from tinycnn.runtime.threads import get_num_threads, set_num_threads
from tinycnn.schedules import ConstantSchedule, CosineSchedule, PiecewiseSchedule
from tinycnn.training import callbacks
from tinycnn.training.batch_statistics import population_statistics
from tinycnn.training.callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, TrainingTable
from tinycnn.training.data import Batches, Dataset
from tinycnn.training.evaluation import evaluate
from tinycnn.training.history import History
from tinycnn.training.trainer import Trainer

__all__ = [
    "SGDM",
    "Adam",
    "AveragePool2D",
    "BatchNorm1D",
    "BatchNorm2D",
    "Batches",
    "Block",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "ClassificationOutput",
    "ConstantSchedule",
    "Conv2D",
    "CosineSchedule",
    "CrossChannelNorm",
    "Dataset",
    "Dropout",
    "EarlyStopping",
    "Flatten",
    "FullyConnected",
    "GlobalAveragePool2D",
    "History",
    "ImageInput",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "Optimizer",
    "OutputLayer",
    "PiecewiseSchedule",
    "ReLU",
    "RegressionOutput",
    "Residual",
    "Sequential",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "Trainer",
    "TrainingTable",
    "VectorInput",
    "__version__",
    "backend",
    "callbacks",
    "describe",
    "evaluate",
    "from_torch",
    "get_num_threads",
    "gradcheck",
    "initializers",
    "inspect",
    "interop",
    "kernels",
    "load",
    "plot",
    "population_statistics",
    "set_num_threads",
    "to_torch",
]
