"""The train step, and each trial of the tuning: a frozen backbone with a head, then fine-tuning."""
