"""Deaths at any effect of a night: a store or a service that stops answering, as for a process that was killed."""


class Killed(BaseException):
    """Nobody catches it, as nobody catches SIGKILL."""


class Dying:
    """Hands everything on, and dies at the n-th effect: before it, or just after it. The dead have no effects."""

    def __init__(self, inner, fuse, names):
        self._inner, self._fuse, self._names = inner, fuse, names

    def __getattr__(self, name):
        member = getattr(self._inner, name)
        return self._fuse.around(member) if name in self._names else member


def _raise():
    raise Killed


class Fuse:
    def __init__(self, number, *, after, die=None):
        self.left, self._after, self._die = number, after, die or _raise

    def around(self, effect):
        def call(*args, **kwargs):
            if self.left <= 0:
                self._die()
            self.left -= 1
            if self.left == 0 and not self._after:
                self._die()
            result = effect(*args, **kwargs)
            if self.left == 0:
                self._die()
            return result

        return call
