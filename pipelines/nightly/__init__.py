"""The night: once a day, or whenever somebody asks, decide whether there is something to decide, and start it once."""
