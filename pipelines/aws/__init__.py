"""AWS as commands and functions reach it: one session, clear errors."""
