"""The evaluate step: the gate on the held-out screenshots, its evidence and its report."""
