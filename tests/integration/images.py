"""Made-up pictures of parts, and files that were made to harm."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def part(seed, defect=False, width=96, height=72):
    """A striped part as an RGB array; each seed is another one, `defect` paints a blot."""
    random = np.random.default_rng(seed)
    x = np.arange(width)
    stripes = np.where(x % 12 < 6, 90, 150)
    pixels = np.repeat(stripes[None, :, None], height, 0) + random.integers(0, 12, (height, width, 3))
    if defect:
        top, left = height // 4, width // 3
        blot = pixels[top:top + height // 4, left:left + width // 4]
        blot[:] = random.integers(0, 256, blot.shape)
    return pixels.astype(np.uint8)


def encode(pixels, kind="PNG", **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def good(seed):
    return encode(part(seed))


def bad(seed):
    return encode(part(seed, defect=True))


def good_parts(count, first=1):
    return [(good(first + i), f"good-{first + i}.png") for i in range(count)]


def decode(data):
    return np.asarray(Image.open(io.BytesIO(data)))


# Files made to harm ------------------------------------------------------------------------------


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, data, depth=8, color=0, extra=b""):
    """A PNG of any claimed size around the given compressed data."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + extra + png_chunk(b"IDAT", data) +
            png_chunk(b"IEND", b""))


def png_of_zeros(width, height, color=0):
    """A whole, valid PNG that is far smaller than its pixels."""
    channels = {0: 1, 2: 3}[color]
    row = b"\0" * (width * channels + 1)
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(row * 64) for _ in range(height // 64))
    data += packer.compress(row * (height % 64)) + packer.flush()
    return png(width, height, data, color=color)


def png_with_text_bombs(count=20, megabytes=100):
    """A small picture beside texts that unpack to megabytes each."""
    packer = zlib.compressobj(9)
    text = b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(megabytes)) + packer.flush()
    chunk = png_chunk(b"zTXt", b"key\0\0" + text)
    return png(8, 8, zlib.compress(b"\0" * 72), extra=chunk * count)


def jpeg_of_empty_scans(width, height, scans):
    """A progressive JPEG whose scans hold nothing, each as costly as a whole picture."""
    def segment(marker, data):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    quantization = b"\0" + bytes([16] * 64)
    frame = struct.pack(">BHHB", 8, height, width, 1) + bytes([1, 0x11, 0])
    # One code of one bit, for DC and for AC.
    table = bytes([1] + [0] * 15 + [0])
    dc, ac = b"\x00" + table, b"\x10" + table
    out = b"\xff\xd8" + segment(0xDB, quantization) + segment(0xC2, frame)
    out += segment(0xC4, dc) + segment(0xC4, ac)
    out += segment(0xDA, bytes([1, 1, 0, 0, 0, 0]))
    for i in range(scans):
        k = 1 + i % 63
        out += segment(0xDA, bytes([1, 1, 0, k, k, 0]))
    return out + b"\xff\xd9"


def tiff(entries, data=b"", next_directory=0):
    """A little-endian TIFF of one directory: (tag, type, count, value) each."""
    out = struct.pack("<2sHI", b"II", 42, 8) + struct.pack("<H", len(entries))
    for tag, kind, count, value in sorted(entries):
        out += struct.pack("<HHII", tag, kind, count, value)
    return out + struct.pack("<I", next_directory) + data


def tiff_of_size(width, height, strip_bytes=64, loop=False):
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1),
               (273, 4, 1, 200), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, strip_bytes)]
    return tiff(entries, b"\0" * 200, next_directory=8 if loop else 0)


def bmp_of_size(width, height):
    header = struct.pack("<2sIHHI", b"BM", 54 + 64, 0, 0, 54)
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return header + info + b"\0" * 64
