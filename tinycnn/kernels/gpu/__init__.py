"""The CUDA twins of `tinycnn.kernels.reference`: the same functions on CuPy arrays, from the .cu files beside them.

No kernel uses atomics: each number written is gathered by one thread, and sums go in an order that never changes, so
the same arrays give the same bits every time. Importing this package needs neither CuPy nor a GPU.
"""

from tinycnn.kernels import contracts
from tinycnn.kernels.gpu.activation import (
    leaky_relu_backward,
    leaky_relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from tinycnn.kernels.gpu.block import conv_block_backward, conv_block_forward, conv_blocks_inference
from tinycnn.kernels.gpu.columns import col2im, conv2d_backward_bias, im2col
from tinycnn.kernels.gpu.conv import conv2d_backward_input, conv2d_backward_weight, conv2d_forward
from tinycnn.kernels.gpu.cross_channel import cross_channel_norm_backward, cross_channel_norm_forward
from tinycnn.kernels.gpu.dropout import dropout_forward
from tinycnn.kernels.gpu.elementwise import (
    all_finite,
    dropout_backward,
    image_input_forward,
    relu_backward,
    relu_forward,
)
from tinycnn.kernels.gpu.linear import fully_connected_backward, fully_connected_forward
from tinycnn.kernels.gpu.loss import (
    cross_entropy_backward,
    cross_entropy_forward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
    squared_error_backward,
    squared_error_forward,
)
from tinycnn.kernels.gpu.norm import batch_norm_backward, batch_norm_forward, batch_norm_statistics, batch_norm_track
from tinycnn.kernels.gpu.pool import (
    average_pool2d_backward,
    average_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from tinycnn.kernels.gpu.update import adam_update, adam_update_all, sgdm_update, sgdm_update_all

__all__ = [
    "adam_update",
    "adam_update_all",
    "all_finite",
    "average_pool2d_backward",
    "average_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_statistics",
    "batch_norm_track",
    "col2im",
    "conv2d_backward_bias",
    "conv2d_backward_input",
    "conv2d_backward_weight",
    "conv2d_forward",
    "conv_block_backward",
    "conv_block_forward",
    "conv_blocks_inference",
    "cross_channel_norm_backward",
    "cross_channel_norm_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "dropout_backward",
    "dropout_forward",
    "fully_connected_backward",
    "fully_connected_forward",
    "im2col",
    "image_input_forward",
    "leaky_relu_backward",
    "leaky_relu_forward",
    "log_softmax_forward",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "relu_backward",
    "relu_forward",
    "sgdm_update",
    "sgdm_update_all",
    "sigmoid_backward",
    "sigmoid_forward",
    "softmax_backward",
    "softmax_forward",
    "squared_error_backward",
    "squared_error_forward",
    "tanh_backward",
    "tanh_forward",
]

contracts.guard(globals(), __all__)
