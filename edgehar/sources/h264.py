"""Detect lost frames and slices of an H.264 stream from its slice headers (ITU-T H.264, 7.3.2.1.1, 7.3.3, 7.4.3).

FFmpeg conceals a lost frame by repeating the one before it, without an error. Every frame up to the next key frame is
then predicted from wrong pixels. Reference frames are numbered, so a gap in the numbers reveals the loss. It also
conceals lost slices. Most encoders cut all frames into the same slices, so a missing slice is noticed too.
"""

from __future__ import annotations

from edgehar.sources.nal import Bits, Loss, units

_SLICE, _IDR, _SPS = 1, 5, 7
# Profiles whose sequence parameter set says how chroma is stored.
_HIGH_PROFILES = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
# The headers are short. Scaling matrices make a sequence parameter set longer.
_SLICE_BYTES, _SPS_BYTES = 24, 512
# After so many frames cut into the same slices, a frame with fewer slices has lost some.
_ALIKE = 10
# Most macroblocks of reference frames of level 5.2 (table A-1).
_MOST_BUFFERED = 184_320


class LossDetector:
    """Watch the frame numbers and slices of a stream. Streams that it cannot read are taken to be whole.

    Attributes:
        has_key_frames: whether a picture came that needs no other (IDR).
        too_large: whether the decoder would have to keep more pictures than level 5.2 allows.
        begins: whether the last packet was an IDR picture: neither it nor a later one needs an earlier one.
        is_needed: whether other pictures may be predicted from that of the last packet.
    """

    def __init__(self, extradata: bytes | None) -> None:
        """Start a stream, with the parameter sets of its container, if it has any."""
        self.has_key_frames = self.too_large = self.begins = False
        self.is_needed = True
        self._bits: int | None = None
        self._gaps_allowed = False
        self._number: int | None = None
        # First macroblocks of the slices of a frame, and how many frames in a row had the same.
        self._slices: tuple[int, ...] = ()
        self._alike = 0
        # Containers of the MP4 family store the length of a unit before it, instead of a start code.
        self._length_size = (extradata[4] & 3) + 1 if extradata and extradata[0] == 1 and len(extradata) > 8 else 0
        if extradata:
            self._read_parameters(extradata)

    def look(self, packet: bytes) -> Loss:
        """Return what is missing before or within this access unit."""
        slices: list[int] = []
        gap = self.begins = False
        self.is_needed = True
        for unit in units(packet, self._length_size, _SPS_BYTES):
            kind = unit[0] & 31
            if kind == _SPS:
                self._read_sps(unit)
            elif kind in (_SLICE, _IDR) and self._bits is not None:
                self.begins = self.begins or kind == _IDR
                self.is_needed = bool(unit[0] & 0x60)
                bits = Bits(unit[1:_SLICE_BYTES])
                slices.append(bits.exp_golomb())
                if len(slices) == 1:
                    gap = self._is_after_gap(bits, is_reference=bool(unit[0] & 0x60), is_idr=kind == _IDR)
        self.has_key_frames = self.has_key_frames or self.begins
        if slices and self._misses_slice(tuple(slices)):
            return Loss.WITHIN
        return Loss.BEFORE if gap else Loss.NOTHING

    def _is_after_gap(self, bits: Bits, *, is_reference: bool, is_idr: bool) -> bool:
        assert self._bits is not None
        bits.exp_golomb()  # slice type
        bits.exp_golomb()  # picture parameter set
        number, before, count = bits.read(self._bits), self._number, 1 << self._bits
        if is_idr:
            self._number = 0
            return False
        # A frame that is not a reference has the number of the next reference. Some encoders give it that of the last.
        self._number = number if is_reference or number == before else (number - 1) % count
        return before is not None and number not in (before, (before + 1) % count) and not self._gaps_allowed

    def _misses_slice(self, slices: tuple[int, ...]) -> bool:
        if slices == self._slices:
            self._alike += 1
        elif self._alike >= _ALIKE and set(slices) < set(self._slices):
            return True
        else:
            self._slices, self._alike = slices, 0
        return False

    def _read_parameters(self, extradata: bytes) -> None:
        if not self._length_size:
            sets = units(extradata, 0, _SPS_BYTES)
        else:
            size = int.from_bytes(extradata[6:8], "big")
            sets = iter([extradata[8 : 8 + size]])
        for unit in sets:
            if unit and unit[0] & 31 == _SPS:
                self._read_sps(unit)

    def _read_sps(self, unit: bytes) -> None:
        bits = Bits(unit[1:_SPS_BYTES])
        profile = bits.read(8)
        bits.read(16)
        bits.exp_golomb()
        if profile in _HIGH_PROFILES:
            chroma = bits.exp_golomb()
            if chroma == 3:
                bits.read(1)
            bits.exp_golomb()
            bits.exp_golomb()
            bits.read(1)
            if bits.read(1):
                _skip_scaling_lists(bits, 12 if chroma == 3 else 8)
        frame_number_bits = bits.exp_golomb() + 4
        kind = bits.exp_golomb()
        if kind == 0:
            bits.exp_golomb()
        elif kind == 1:
            bits.read(1)
            for _ in range(2):
                bits.exp_golomb()
            for _ in range(min(bits.exp_golomb(), 255)):
                bits.exp_golomb()
        references = bits.exp_golomb()
        self._gaps_allowed = bool(bits.read(1))
        columns, rows = bits.exp_golomb() + 1, bits.exp_golomb() + 1
        self.too_large = references * columns * rows * (1 if bits.read(1) else 2) > _MOST_BUFFERED
        self._bits = frame_number_bits if frame_number_bits <= 16 else None


def _skip_scaling_lists(bits: Bits, count: int) -> None:
    for number in range(count):
        if not bits.read(1):
            continue
        last = following = 8
        for _ in range(16 if number < 6 else 64):
            if following:
                code = bits.exp_golomb()
                following = (last + (-(code // 2) if code % 2 == 0 else (code + 1) // 2)) % 256
            last = following or last
