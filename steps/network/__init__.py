"""The network, as several steps use it: backbone, reducer, archive, tile input, distribution."""
