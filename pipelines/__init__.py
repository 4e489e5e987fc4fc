"""The definition, the executor, the data, the nights, the registry, the releases and the command line."""
