"""What holds for whole modules of kernels: the same face, the same bits on any number of threads, bounded memory."""

import ast
import concurrent.futures
import doctest
import inspect
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

from tinycnn.kernels import cpu, gpu, reference
from tinycnn.runtime import memory, threads

MODULES = [reference, cpu, gpu]


def public_functions(module):
    return {name for name, value in vars(module).items() if inspect.isfunction(value) and not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_the_same_functions(module):
    assert public_functions(module) == set(module.__all__) == public_functions(reference)


@pytest.mark.parametrize("name", reference.__all__)
@pytest.mark.parametrize("module", [cpu, gpu])
def test_same_arguments_and_defaults(module, name):
    wanted, got = (inspect.signature(getattr(twin, name)).parameters.values() for twin in (reference, module))
    assert [(p.name, p.default, p.kind) for p in got] == [(p.name, p.default, p.kind) for p in wanted]


@pytest.mark.parametrize("name", reference.__all__)
@pytest.mark.parametrize("module", MODULES)
def test_the_docstring_says_what_or_names_the_twin_and_the_idea(module, name):
    function = getattr(module, name)
    first, _, idea = inspect.getdoc(function).partition(". ")
    if function.__module__.startswith(reference.__name__):
        assert not first.startswith("Twin")
    else:
        assert first == f"Twin of `reference.{name}`" and len(idea.split()) >= 4, "the one idea"


@pytest.mark.parametrize("name", reference.__all__)
@pytest.mark.parametrize("module", MODULES)
def test_a_rule_stands_at_every_door(module, name):
    assert inspect.unwrap(getattr(module, name)) is not getattr(module, name), f"{name} has no rule in contracts/"


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings(module):
    for name in module.__all__:  # doctest by itself passes over functions that a rule stands in front of
        function = inspect.unwrap(getattr(module, name))
        for test in doctest.DocTestFinder().find(function, name, globs=dict(vars(module), np=np)):
            assert doctest.DocTestRunner().run(test).failed == 0, name


def everything(rng):
    """Results of every kernel that shares work among threads, on shapes of several strips, images and blocks."""
    results = []
    for n, c, h, w, o, k, stride, groups in (
        (5, 3, 70, 61, 20, 3, 1, 1),
        (2, 8, 33, 29, 36, 5, 2, 2),
        (9, 24, 9, 7, 48, 3, 1, 1),
        (1, 16, 100, 200, 9, 3, 1, 1),
    ):
        x = rng.standard_normal((n, c, h, w), np.float32)
        weight = rng.standard_normal((o, c // groups, k, k), np.float32)
        arguments = ((stride, stride), (1, 0, 2, 1), (1, 1), groups)
        y = cpu.conv2d_forward(x, weight, np.ones(o, np.float32), *arguments)
        results += [
            y,
            cpu.conv2d_backward_input(y, weight, x.shape, *arguments),
            cpu.conv2d_backward_weight(y, x, (k, k), *arguments),
            cpu.conv2d_backward_bias(y),
        ]
    x, dy = rng.standard_normal((2, 6, 7, 150, 150), np.float32)
    mean, variance = cpu.batch_norm_statistics(x)
    ones = np.ones_like(mean)
    results += [
        mean,
        variance,
        cpu.batch_norm_forward(x, mean, variance, ones, ones, 1e-5),
        *cpu.batch_norm_backward(dy, x, mean, variance, ones, 1e-5),
        cpu.relu_forward(x),
        cpu.relu_backward(dy, x),
    ]
    y, argmax = cpu.max_pool2d_forward(x, (3, 3), (2, 2))
    results += [
        y,
        cpu.max_pool2d_backward(y, argmax, x.shape, (3, 3), (2, 2)),
        cpu.average_pool2d_forward(x, (3, 3), (2, 2)),
        cpu.average_pool2d_backward(y, x.shape, (3, 3), (2, 2)),
    ]
    x, weight, dy = (rng.standard_normal(shape, np.float32) for shape in ((70, 5000), (30, 5000), (70, 30)))
    return [*results, cpu.fully_connected_forward(x, weight, None), *cpu.fully_connected_backward(dy, x, weight)]


def test_same_bits_on_any_number_of_threads():
    before = threads.get_num_threads()
    try:
        results = []
        for number in (1, 2, 3):
            threads.set_num_threads(number)
            results.append(everything(np.random.default_rng(0)))
    finally:
        threads.set_num_threads(before)
    for other in results[1:]:
        for expected, got in zip(results[0], other, strict=True):
            np.testing.assert_array_equal(got, expected)


def test_two_threads_with_different_work_do_not_disturb_each_other():
    expected = [everything(np.random.default_rng(seed)) for seed in range(2)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(everything, map(np.random.default_rng, (0, 1, 0, 1))))
    for seed, results in zip((0, 1, 0, 1), runs, strict=True):
        for a, b in zip(expected[seed], results, strict=True):
            np.testing.assert_array_equal(a, b)


def test_memory_stays_near_the_arrays_own():
    # im2col of the whole batch would take nine times x, 1.8 GB.
    x = np.zeros((64, 64, 112, 112), np.float32)
    weight = np.zeros((1, 64, 3, 3), np.float32)
    memory.release()
    tracemalloc.start()
    try:
        y = cpu.conv2d_forward(x, weight, None)
        cpu.conv2d_backward_input(y, weight, x.shape)
        cpu.conv2d_backward_weight(y, x, (3, 3))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < y.nbytes + x.nbytes * 1.2 + 16 * 2**20  # memory.empty rounds dx up by at most an eighth


SCRIPT = """
import numpy as np
from tinycnn.kernels import cpu
x, weight = np.ones((1, 1, 9, 9), np.float32), np.ones((8, 1, 3, 3), np.float32)
y = cpu.conv2d_forward(x, weight, None)
cpu.conv2d_backward_weight(y, x, (3, 3))
from tinycnn.kernels.cpu.expert import correlate
hits = sum(sum(f.stats.cache_hits.values()) for f in (correlate.correlate, correlate.weight_gradient))
print([float(y.sum()), hits])
"""


def test_compiled_code_is_kept_between_processes(tmp_path):
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    for hits in (0, 2):
        output = subprocess.check_output([sys.executable, "-c", SCRIPT], env=environment, text=True)
        assert ast.literal_eval(output) == [8 * 9 * 49.0, hits]
