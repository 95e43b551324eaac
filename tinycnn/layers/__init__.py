"""The layers, a file each: forward and backward on one screen, mathematics only."""

from tinycnn.layers.base import InputLayer, Layer, OutputLayer
from tinycnn.layers.batch_norm2d import BatchNorm2D
from tinycnn.layers.block import Block
from tinycnn.layers.classification_output import ClassificationOutput
from tinycnn.layers.conv2d import Conv2D
from tinycnn.layers.cross_channel_norm import CrossChannelNorm
from tinycnn.layers.dropout import Dropout
from tinycnn.layers.flatten import Flatten
from tinycnn.layers.fully_connected import FullyConnected
from tinycnn.layers.image_input import ImageInput
from tinycnn.layers.pool2d import AveragePool2D, GlobalAveragePool2D, MaxPool2D
from tinycnn.layers.relu import ReLU
from tinycnn.layers.residual import Residual
from tinycnn.layers.softmax import Softmax

__all__ = [
    "AveragePool2D",
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
    "MaxPool2D",
    "OutputLayer",
    "ReLU",
    "Residual",
    "Softmax",
]
