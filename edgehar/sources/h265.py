"""Detect lost frames and slices of an H.265 stream from its headers (ITU-T H.265, 7.3.1.2, 7.3.2, 7.3.6).

FFmpeg replaces a lost frame by gray or by the frame before it, without an error. In a stream without reordered frames,
as cameras send it, the picture order count grows by the same step from frame to frame, so a larger step reveals a loss.
"""

from __future__ import annotations

from edgehar.sources.nal import Bits, Loss, units

_SPS, _PPS = 33, 34
# Types of slices, of which some restart a stream (IRAP), and some of these count from 0 (IDR).
_SLICES, _IRAP, _IDR = frozenset({*range(10), *range(16, 22)}), frozenset(range(16, 24)), frozenset({19, 20})
# Pictures that no other of their temporal layer is predicted from.
_UNNEEDED = frozenset(range(0, 16, 2))
_MOST_BYTES, _SLICE_BYTES = 512, 24
# After so many frames alike, a frame that differs has lost something.
_ALIKE = 10
# Most pixels of buffered pictures of level 5.2: six of 4096 x 2176 (A.4.2).
_MOST_BUFFERED = 6 * 8_912_896


class LossDetector:
    """Watch the order counts and slices of a stream. Streams that it cannot read are taken to be whole.

    Attributes:
        too_large: whether the decoder would have to keep more pictures than level 5.2 allows.
        begins: whether the last packet was an IDR picture: neither it nor a later one needs an earlier one.
        is_needed: whether other pictures may be predicted from that of the last packet.
    """

    def __init__(self, extradata: bytes | None) -> None:
        """Start a stream, with the parameter sets of its container, if it has any."""
        self.too_large = self.begins = False
        self.is_needed = True
        # Bits of the order count; None while it is unknown, or if frames are reordered.
        self._bits: int | None = None
        self._extra_bits, self._has_output_flag, self._separate_planes = 0, False, False
        self._count: int | None = None
        self._step = self._alike_steps = 0
        self._slices = self._alike_slices = 0
        is_boxed = bool(extradata) and extradata is not None and extradata[0] == 1 and len(extradata) > 22
        self._length_size = (extradata[21] & 3) + 1 if is_boxed and extradata is not None else 0
        for unit in _boxed(extradata) if is_boxed and extradata else units(extradata or b"", 0, _MOST_BYTES):
            self._read_set(unit)

    def look(self, packet: bytes) -> Loss:
        """Return what is missing before or within this access unit."""
        slices, gap, begins = 0, False, False
        self.begins, self.is_needed = False, True
        for unit in units(packet, self._length_size, _MOST_BYTES):
            kind = unit[0] >> 1 & 63
            if kind in (_SPS, _PPS):
                self._read_set(unit)
            elif kind in _SLICES and len(unit) > 2:
                slices += 1
                self.begins = self.begins or kind in _IDR
                self.is_needed = kind not in _UNNEEDED
                bits = Bits(unit[2:_SLICE_BYTES])
                if bits.read(1):
                    begins, gap = True, self._is_after_gap(bits, kind)
        if slices and (not begins or self._misses_slice(slices)):
            return Loss.WITHIN
        return Loss.BEFORE if gap else Loss.NOTHING

    def _is_after_gap(self, bits: Bits, kind: int) -> bool:
        if self._bits is None:
            return False
        if kind in _IRAP:
            bits.read(1)
        bits.exp_golomb()  # picture parameter set
        bits.read(self._extra_bits)
        bits.exp_golomb()  # slice type
        bits.read(self._has_output_flag + 2 * self._separate_planes)
        count, before = (0 if kind in _IDR else bits.read(self._bits)), self._count
        self._count = count
        if before is None or kind in _IRAP:
            return False
        step = (count - before) % (1 << self._bits)
        if step == self._step:
            self._alike_steps += 1
            return False
        gap = self._alike_steps >= _ALIKE and step > self._step
        if not gap:
            self._step, self._alike_steps = step, 0
        return gap

    def _misses_slice(self, slices: int) -> bool:
        if slices == self._slices:
            self._alike_slices += 1
        elif self._alike_slices >= _ALIKE and slices < self._slices:
            return True
        else:
            self._slices, self._alike_slices = slices, 0
        return False

    def _read_set(self, unit: bytes) -> None:
        kind = unit[0] >> 1 & 63
        if kind == _SPS:
            self._read_sps(Bits(unit[2:_MOST_BYTES]))
        elif kind == _PPS:
            bits = Bits(unit[2:_MOST_BYTES])
            bits.exp_golomb()
            bits.exp_golomb()
            bits.read(1)
            self._has_output_flag, self._extra_bits = bool(bits.read(1)), bits.read(3)

    def _read_sps(self, bits: Bits) -> None:
        bits.read(4)
        layers = bits.read(3)
        bits.read(1)
        _skip_profile(bits, layers)
        bits.exp_golomb()
        self._separate_planes = bits.exp_golomb() == 3 and bool(bits.read(1))
        width, height = bits.exp_golomb(), bits.exp_golomb()
        if bits.read(1):
            for _ in range(4):
                bits.exp_golomb()
        bits.exp_golomb()
        bits.exp_golomb()
        count_bits = bits.exp_golomb() + 4
        buffered = reordered = 0
        for _ in range(layers + 1 if bits.read(1) else 1):
            buffered, reordered = bits.exp_golomb() + 1, bits.exp_golomb()
            bits.exp_golomb()
        self.too_large = buffered * width * height > _MOST_BUFFERED
        self._bits = count_bits if not reordered and count_bits <= 16 else None


def _skip_profile(bits: Bits, layers: int) -> None:
    """Skip `profile_tier_level` (7.3.3)."""
    bits.read(96)
    present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    if layers:
        bits.read(2 * (8 - layers))
    for has_profile, has_level in present:
        bits.read(88 * has_profile + 8 * has_level)


def _boxed(extradata: bytes) -> list[bytes]:
    """Return the units of the `hvcC` box of MP4 (ISO/IEC 14496-15, 8.3.3.1)."""
    found, at = [], 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[at + 1 : at + 3], "big")
        at += 3
        for _ in range(min(count, 64)):
            size = int.from_bytes(extradata[at : at + 2], "big")
            if unit := extradata[at + 2 : at + 2 + min(size, _MOST_BYTES)]:
                found.append(unit)
            at += 2 + size
    return found
