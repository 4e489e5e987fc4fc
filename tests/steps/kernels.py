"""What compression leaves of the large kernels of a model."""

import numpy as np

from steps.network.compression.cloning import is_kernel_layer


def kernels_of(model):
    return [layer.kernel.numpy() for layer in model.layers if is_kernel_layer(layer)]


def most_values(model):
    """The number of different values in the kernel that has most."""
    return max(len(np.unique(kernel)) for kernel in kernels_of(model))


def sparsity(model):
    """The share of zeros, 0 to 1."""
    kernels = kernels_of(model)
    return sum((kernel == 0).sum() for kernel in kernels) / sum(kernel.size for kernel in kernels)
