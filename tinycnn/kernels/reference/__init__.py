"""Every operation as a page to teach from: plain array code that runs on NumPy and on CuPy arrays alike.

This package is the textbook, the oracle that the fast kernels are tested against, and the fallback for what they do
not cover. Each function has a twin of the same name and arguments in `tinycnn.kernels.cpu` and `tinycnn.kernels.gpu`.
What fits its arguments is said in `tinycnn.kernels.contracts`, and checked before it runs.

Shapes: N images, C channels, H × W pixels in, OH × OW pixels out, O filters of KH × KW, D features, K classes.
`stride` and `dilation` are (vertical, horizontal); `padding` is (top, bottom, left, right).
"""

from tinycnn.kernels import contracts
from tinycnn.kernels.reference.activation import (
    leaky_relu_backward,
    leaky_relu_forward,
    relu_backward,
    relu_forward,
    sigmoid_backward,
    sigmoid_forward,
    tanh_backward,
    tanh_forward,
)
from tinycnn.kernels.reference.blocks import conv_block_backward, conv_block_forward, conv_blocks_inference
from tinycnn.kernels.reference.conv import (
    col2im,
    conv2d_backward_bias,
    conv2d_backward_input,
    conv2d_backward_weight,
    conv2d_forward,
    im2col,
)
from tinycnn.kernels.reference.dense import (
    dropout_backward,
    dropout_forward,
    fully_connected_backward,
    fully_connected_forward,
)
from tinycnn.kernels.reference.input import all_finite, image_input_forward
from tinycnn.kernels.reference.loss import (
    cross_entropy_backward,
    cross_entropy_forward,
    log_softmax_forward,
    softmax_backward,
    softmax_forward,
    squared_error_backward,
    squared_error_forward,
)
from tinycnn.kernels.reference.norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_statistics,
    batch_norm_track,
    cross_channel_norm_backward,
    cross_channel_norm_forward,
)
from tinycnn.kernels.reference.pool import (
    average_pool2d_backward,
    average_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
)
from tinycnn.kernels.reference.update import adam_update, adam_update_all, sgdm_update, sgdm_update_all

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
