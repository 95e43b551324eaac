"""The Numba twins of `tinycnn.kernels.reference`: the same functions, as fast as the machine allows.

Loops over a whole batch are here. What works on a few numbers an image, or a channel, is as fast in NumPy, and comes
from the reference; so do `im2col` and `col2im`, which no kernel here needs. Register tiles, layouts in cache, and
threads that wait for each other, are in `expert/`, whose README draws them.
"""

from tinycnn.kernels import contracts
from tinycnn.kernels.cpu.activation import (
    leaky_relu_backward,
    leaky_relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from tinycnn.kernels.cpu.block import conv_block_backward, conv_block_forward
from tinycnn.kernels.cpu.conv import conv2d_backward_bias, conv2d_backward_input, conv2d_backward_weight, conv2d_forward
from tinycnn.kernels.cpu.cross_channel import cross_channel_norm_backward, cross_channel_norm_forward
from tinycnn.kernels.cpu.elementwise import (
    adam_update,
    adam_update_all,
    all_finite,
    image_input_forward,
    relu_backward,
    relu_forward,
    sgdm_update,
    sgdm_update_all,
)
from tinycnn.kernels.cpu.expert.inference import conv_blocks_inference
from tinycnn.kernels.cpu.linear import fully_connected_backward, fully_connected_forward
from tinycnn.kernels.cpu.norm import batch_norm_backward, batch_norm_forward, batch_norm_statistics
from tinycnn.kernels.cpu.pool import (
    average_pool2d_backward,
    average_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from tinycnn.kernels.reference import (
    batch_norm_track,
    col2im,
    cross_entropy_backward,
    cross_entropy_forward,
    dropout_backward,
    dropout_forward,
    im2col,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
    squared_error_backward,
    squared_error_forward,
)

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
