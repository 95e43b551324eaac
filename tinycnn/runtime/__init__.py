"""How a step is run: fused layers, memory, threads, batches on their way to a device, CUDA graphs."""
