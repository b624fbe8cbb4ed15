"""Enough of kms++ for picamera2 to be imported; it draws previews on a screen with it, which nobody wants here."""


class _AnyFormat:
    def __getattr__(self, name: str) -> str:
        return name


PixelFormat = _AnyFormat()
