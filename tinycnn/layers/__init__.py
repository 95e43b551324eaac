"""The layers, a file each: forward and backward on one screen, mathematics only."""

from tinycnn.layers.base import InputLayer, Layer, OutputLayer
from tinycnn.layers.batch_norm import BatchNorm, BatchNorm1D, BatchNorm2D
from tinycnn.layers.block import Block
from tinycnn.layers.classification_output import ClassificationOutput
from tinycnn.layers.conv2d import Conv2D
from tinycnn.layers.cross_channel_norm import CrossChannelNorm
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.flatten import Flatten
from tinycnn.layers.fully_connected import FullyConnected
from tinycnn.layers.image_input import ImageInput
from tinycnn.layers.leaky_relu import LeakyReLU
from tinycnn.layers.pool2d import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.regression_output import RegressionOutput
from tinycnn.layers.relu import ReLU
from tinycnn.layers.residual import Residual
from tinycnn.layers.sigmoid import Sigmoid
from tinycnn.layers.softmax import Softmax
from tinycnn.layers.tanh import Tanh
from tinycnn.layers.vector_input import VectorInput

__all__ = [
    "AveragePool2D",
    "BatchNorm",
    "BatchNorm1D",
    "BatchNorm2D",
    "Block",
    "ClassificationOutput",
    "Conv2D",
    "CrossChannelNorm",
    "Dropout",
    "Flatten",
    "FullyConnected",
    "GlobalAveragePool2D",
    "ImageInput",
    "InputLayer",
    "Layer",
    "LeakyReLU",
    "MaxPool2D",
    "OutputLayer",
    "ReLU",
    "RegressionOutput",
    "Residual",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "VectorInput",
]
