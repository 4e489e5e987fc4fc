"""The convert step: TFLite variants, each through the gate by its own bytes, and the bundle that ships."""
