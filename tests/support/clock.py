"""A clock for tests."""


class Clock:
    """Monotonic seconds that stand still until a test moves them."""

    def __init__(self, now_s=1000.0):
        self.now_s = now_s

    def __call__(self):
        return self.now_s
