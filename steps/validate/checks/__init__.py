"""The rules, a module for each severity: limit, title, check and sentences of a rule stand together."""
