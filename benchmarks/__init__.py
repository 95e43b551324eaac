"""tinycnn beside PyTorch and JAX: the same work, checked equal first, timed in turns in one run.

`python -m benchmarks train` and its relatives print a table; `--json FILE` keeps every number. The comparisons need
PyTorch and JAX (`pip install '.[bench]'`); what is missing is left out, with a line that says so. `--device cuda` moves
everybody to the GPU, and `python -m benchmarks.gpu_check` checks and measures all there is to check there.
"""
