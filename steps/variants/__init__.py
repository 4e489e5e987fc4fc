"""From one trained model to the table of its forms: each made, measured and judged by the bytes that would ship."""
