"""CRC-32C of bytes that follow one another, from the checksums of both parts: pure arithmetic over GF(2).

A checksum is a remainder modulo the polynomial of RFC 3720 (bits reversed); so many bytes more behind it multiply it by
x^(8 n). The same as zlib's crc32_combine.
"""

POLYNOMIAL = 0x82F63B78
_ONE, _X = 1 << 31, 1 << 30


def combined(first: int, second: int, length: int) -> int:
    """The checksum of a row of bytes with checksum `first` and `length` more of checksum `second`."""
    return _times(_shift(length), first) ^ second


def _times(one: int, other: int) -> int:
    product = 0
    while one:
        if one & _ONE:
            product ^= other
        one = one << 1 & 0xFFFFFFFF
        other = other >> 1 ^ (POLYNOMIAL if other & 1 else 0)
    return product


def _shift(length: int) -> int:
    """x^(8 length) modulo the polynomial."""
    power, square = _ONE, _X
    left = 8 * length
    while left:
        if left & 1:
            power = _times(square, power)
        square = _times(square, square)
        left >>= 1
    return power
