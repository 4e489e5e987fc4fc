"""The rules, a module for each kind: severity, limit, title, check and sentences of a rule stand together."""
