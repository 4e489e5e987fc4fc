"""The stacks of an environment as CDK constructs, synthesised offline."""
