"""Operations as plain loops in float64: slow, and too simple to be wrong in the same way as a kernel."""

from __future__ import annotations

import itertools
import math

import numpy as np


def sizes(h, w, kernel, stride, padding, dilation=(1, 1)):
    """How many windows fit, found by trying."""
    top, bottom, left, right = padding
    oh = sum(1 for i in range(0, top + h + bottom, stride[0]) if i + (kernel[0] - 1) * dilation[0] < top + h + bottom)
    ow = sum(1 for j in range(0, left + w + right, stride[1]) if j + (kernel[1] - 1) * dilation[1] < left + w + right)
    return oh, ow


def taps(h, w, kernel, stride, padding, dilation=(1, 1)):
    """Every (window row, window column, tap row, tap column, pixel row, pixel column) whose pixel is not padding."""
    oh, ow = sizes(h, w, kernel, stride, padding, dilation)
    for i, j, a, b in itertools.product(range(oh), range(ow), range(kernel[0]), range(kernel[1])):
        r = i * stride[0] + a * dilation[0] - padding[0]
        c = j * stride[1] + b * dilation[1] - padding[2]
        if 0 <= r < h and 0 <= c < w:
            yield i, j, a, b, r, c


def conv2d(x, weight, bias, stride, padding, dilation, groups):
    """y, and a function of dy that returns dx, dweight and dbias."""
    (n, _, h, w), (o, channels, kh, kw) = x.shape, weight.shape
    y = np.zeros((n, o, *sizes(h, w, (kh, kw), stride, padding, dilation)))
    products = [
        (f, f // (o // groups) * channels + k, k, *tap)
        for f in range(o)
        for k in range(channels)
        for tap in taps(h, w, (kh, kw), stride, padding, dilation)
    ]
    for f, c, k, i, j, a, b, r, s in products:
        y[:, f, i, j] += weight[f, k, a, b].astype(float) * x[:, c, r, s]
    if bias is not None:
        y += bias.astype(float)[:, None, None]

    def backward(dy):
        dx, dweight = np.zeros(x.shape), np.zeros(weight.shape)
        for f, c, k, i, j, a, b, r, s in products:
            dx[:, c, r, s] += weight[f, k, a, b].astype(float) * dy[:, f, i, j]
            dweight[f, k, a, b] += (x[:, c, r, s].astype(float) * dy[:, f, i, j]).sum()
        return dx, dweight, np.array([sum(map(float, dy[:, f].reshape(-1))) for f in range(o)])

    return y, backward


def max_pool2d(x, pool, stride, padding):
    """y and argmax; a NaN counts as larger than all numbers, and the first of equals wins."""
    oh, ow = sizes(*x.shape[2:], pool, stride, padding)
    y = np.full((*x.shape[:2], oh, ow), -np.inf)
    argmax = np.zeros(y.shape, int)
    for image, c in np.ndindex(*x.shape[:2]):
        for i, j, a, b, r, s in taps(*x.shape[2:], pool, stride, padding):
            value, best = float(x[image, c, r, s]), y[image, c, i, j]
            if value > best or (math.isnan(value) and not math.isnan(best)):
                y[image, c, i, j], argmax[image, c, i, j] = value, a * pool[1] + b
    return y, argmax


def max_pool2d_backward(dy, argmax, input_shape, pool, stride, padding):
    dx = np.zeros(input_shape)
    for i, j, a, b, r, s in taps(*input_shape[2:], pool, stride, padding):
        dx[:, :, r, s] += np.where(argmax[:, :, i, j] == a * pool[1] + b, dy[:, :, i, j], 0)
    return dx


def average_pool2d(x, pool, stride, padding):
    y = np.zeros((*x.shape[:2], *sizes(*x.shape[2:], pool, stride, padding)))
    for i, j, _, _, r, s in taps(*x.shape[2:], pool, stride, padding):
        y[:, :, i, j] += x[:, :, r, s] / math.prod(pool)
    return y


def average_pool2d_backward(dy, input_shape, pool, stride, padding):
    dx = np.zeros(input_shape)
    for i, j, _, _, r, s in taps(*input_shape[2:], pool, stride, padding):
        dx[:, :, r, s] += dy[:, :, i, j] / math.prod(pool)
    return dx


def numerical_gradient(f, x, dy, step=1e-6):
    """d⟨f(x), dy⟩/dx by central differences, one element of x at a time."""
    gradient = np.zeros(x.shape)
    for index in np.ndindex(*x.shape):
        kept = x[index]
        x[index] = kept + step
        above = (f(x) * dy).sum()
        x[index] = kept - step
        below = (f(x) * dy).sum()
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    return gradient
