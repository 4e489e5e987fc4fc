"""The error that ends a step with one clear sentence instead of a stack trace."""


class UserError(Exception):
    """Something a person has to mend: it names what was seen, what is wanted and what to do."""
