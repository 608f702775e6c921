#!/usr/bin/env python3
"""Makes the small BMP, TIFF and WebP files of tests/image/fixtures and what Pillow reads from them.

    "$HFWA_VENV/bin/python" tests/image/make_fixtures.py

Files that Pillow cannot write (run lengths, bit fields, odd TIFF layouts) are put together by hand here.
"""
import hashlib
import io
import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

HERE = Path(__file__).parent / "fixtures"
rng = np.random.default_rng(20)


def scene(width, height, channels):
    """Smooth shapes with some noise: compresses, yet shows every mistake."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = [127 + 120 * np.sin(x / (5 + 3 * c) + c) * np.cos(y / (7 - c) - c) for c in range(channels)]
    a = np.stack(planes, -1) + rng.normal(0, 3, (height, width, channels))
    return np.clip(a, 0, 255).astype(np.uint8)


def bmp(width, height, bits, compression, palette, data, masks=b"", top_down=False, core=False):
    if core:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", 40, width, -height if top_down else height, 1, bits, compression,
                             len(data), 2835, 2835, 0, 0)
    offset = 14 + len(header) + len(masks) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(data), 0, 0, offset) + header + masks + palette + data


def rows(a, bits):
    """Bottom-up rows, padded to 4 bytes; `a` holds indices or packed pixels."""
    out = b""
    for row in a[::-1]:
        if bits < 8:
            packed = 0
            line = bytearray()
            per = 8 // bits
            padded = list(row) + [0] * (-len(row) % per)
            for i in range(0, len(padded), per):
                packed = 0
                for v in padded[i:i + per]:
                    packed = packed << bits | int(v)
                line.append(packed)
            line = bytes(line)
        else:
            line = row.astype({8: "<u1", 16: "<u2", 32: "<u4"}[bits]).tobytes()
        out += line + b"\0" * (-len(line) % 4)
    return out


def rle8(a):
    out = b""
    for row in a[::-1]:
        i = 0
        while i < len(row):
            run = 1
            while i + run < len(row) and run < 255 and row[i + run] == row[i]:
                run += 1
            if run == 1 and len(row) - i >= 5:
                out += bytes([0, 5]) + bytes(row[i:i + 5].tolist()) + b"\0"
                i += 5
            else:
                out += bytes([run, int(row[i])])
                i += run
        out += b"\0\0"
    return out + b"\0\1"


def rle4(a):
    out = b""
    for row in a[::-1]:
        for i in range(0, len(row), 2):
            pair = row[i:i + 2]
            out += bytes([len(pair), int(pair[0]) << 4 | int(pair[-1])])
        out += b"\0\0"
    return out + b"\0\1"


def tiff(width, height, data, tags, order="<"):
    """One strip; `tags` are (tag, type 3 or 4, values)."""
    entries = [(256, 3, [width]), (257, 3, [height]), (273, 4, [8]), (278, 3, [height]), (279, 4, [len(data)])]
    if any(t[0] == 324 for t in tags):  # tiles instead of strips
        entries = entries[:2]
    entries = sorted({t[0]: t for t in entries + tags}.values())
    blob = data + b"\0" * (len(data) % 2)
    directory = b""
    for tag, kind, values in entries:
        code = {3: "H", 4: "I"}[kind]
        raw = struct.pack(f"{order}{len(values)}{code}", *values)
        if len(raw) > 4:
            position = 8 + len(blob)
            blob += raw
            raw = struct.pack(order + "I", position)
        directory += struct.pack(order + "HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8 + len(blob))
    return head + blob + struct.pack(order + "H", len(entries)) + directory + b"\0\0\0\0"


def main():
    files = {}
    rgb = Image.fromarray(scene(37, 29, 3))
    rgba = Image.fromarray(scene(37, 29, 4), "RGBA")
    grey = rgb.convert("L")
    palette = rgb.quantize(16)
    bilevel = rgb.convert("1")
    grey16 = Image.fromarray(rng.integers(0, 600, (29, 37)).astype(np.uint16))

    def save(name, image, **options):
        buffer = io.BytesIO()
        image.save(buffer, **options)
        files[name] = buffer.getvalue()

    for name, image in {"rgb": rgb, "rgba": rgba, "grey": grey, "palette": palette, "bilevel": bilevel}.items():
        save(f"{name}.bmp", image, format="BMP")
    colours = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    bgrx = np.concatenate([colours, np.zeros((256, 1), np.uint8)], 1)
    index16 = rng.integers(0, 16, (13, 21))
    index256 = np.repeat(rng.integers(0, 256, (13, 7)), 3, axis=1)
    index256[:, 5:12] = rng.integers(0, 256, (13, 7))
    files["bit4.bmp"] = bmp(21, 13, 4, 0, bgrx[:16].tobytes(), rows(index16, 4))
    files["bit1_colours.bmp"] = bmp(21, 13, 1, 0, bgrx[:2].tobytes(), rows(index16 & 1, 1))
    files["core.bmp"] = bmp(21, 13, 8, 0, colours.tobytes(), rows(index256, 8), core=True)
    files["top_down.bmp"] = bmp(21, 13, 8, 0, bgrx.tobytes(), rows(index256, 8), top_down=True)
    files["rle8.bmp"] = bmp(21, 13, 8, 1, bgrx.tobytes(), rle8(index256))
    files["rle4.bmp"] = bmp(21, 13, 4, 2, bgrx[:16].tobytes(), rle4(index16))
    pixel16 = rng.integers(0, 65536, (13, 21))
    pixel32 = rng.integers(0, 2**32, (13, 21))
    files["bit16_555.bmp"] = bmp(21, 13, 16, 0, b"", rows(pixel16, 16))
    files["bit16_565.bmp"] = bmp(21, 13, 16, 3, b"", rows(pixel16, 16), struct.pack("<3I", 0xF800, 0x7E0, 0x1F))
    files["bit32_raw.bmp"] = bmp(21, 13, 32, 0, b"", rows(pixel32, 32))
    files["bit32_xbgr.bmp"] = bmp(21, 13, 32, 3, b"", rows(pixel32, 32),
                                  struct.pack("<3I", 0xFF000000, 0xFF0000, 0xFF00))

    for name, image in {"rgb": rgb, "rgba": rgba, "grey": grey, "palette": palette, "bilevel": bilevel,
                        "grey16": grey16, "la": rgba.convert("LA"), "cmyk": rgb.convert("CMYK")}.items():
        for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
            if compression in ("raw", "tiff_lzw") or name in ("rgb", "grey"):
                save(f"{name}_{compression.removeprefix('tiff_')}.tiff", image, format="TIFF", compression=compression)
    save("predictor.tiff", rgb, format="TIFF", compression="tiff_lzw", tiffinfo={317: 2})
    save("strips.tiff", rgb, format="TIFF", compression="tiff_adobe_deflate", tiffinfo={278: 5})
    save("pages.tiff", rgb, format="TIFF", save_all=True, append_images=[grey])
    big = io.BytesIO()
    rgb.save(big, format="TIFF", big_tiff=True)
    files["big.tiff"] = big.getvalue()
    a16 = rng.integers(0, 65536, (9, 11, 3))
    for order in "<>":
        suffix = "le" if order == "<" else "be"
        files[f"rgb16_{suffix}.tiff"] = tiff(11, 9, a16.astype(order + "u2").tobytes(),
                                             [(258, 3, [16] * 3), (262, 3, [2]), (277, 3, [3])], order)
        files[f"grey16_{suffix}.tiff"] = tiff(11, 9, (a16[..., 0] % 700).astype(order + "u2").tobytes(),
                                              [(258, 3, [16]), (262, 3, [1])], order)
    a8 = scene(11, 9, 4)
    files["white_is_zero.tiff"] = tiff(11, 9, a8[..., 0].tobytes(), [(258, 3, [8]), (262, 3, [0])])
    files["white_is_zero_1.tiff"] = tiff(11, 9, rng.bytes(18), [(258, 3, [1]), (262, 3, [0])])
    files["grey4.tiff"] = tiff(11, 9, rng.bytes(54), [(258, 3, [4]), (262, 3, [1])])
    files["grey2.tiff"] = tiff(11, 9, rng.bytes(27), [(258, 3, [2]), (262, 3, [1])])
    files["palette4.tiff"] = tiff(11, 9, rng.bytes(54), [(258, 3, [4]), (262, 3, [3]),
                                                         (320, 3, rng.integers(0, 65536, 48).tolist())])
    files["fill_order.tiff"] = tiff(11, 9, rng.bytes(18), [(258, 3, [1]), (262, 3, [1]), (266, 3, [2])])
    files["premultiplied.tiff"] = tiff(11, 9, a8.tobytes(), [(258, 3, [8] * 4), (262, 3, [2]), (277, 3, [4]),
                                                             (338, 3, [1])])
    files["planar.tiff"] = tiff(11, 9, np.moveaxis(a8[..., :3], -1, 0).tobytes(), [
        (258, 3, [8] * 3), (262, 3, [2]), (277, 3, [3]), (284, 3, [2]), (278, 3, [9]),
        (273, 4, [8, 8 + 99, 8 + 198]), (279, 4, [99] * 3)])
    tiles = np.zeros((32, 48, 3), np.uint8)
    tiles[:29, :37] = np.asarray(rgb)
    tiled = b"".join(tiles[y:y + 16, x:x + 16].tobytes() for y in (0, 16) for x in (0, 16, 32))
    entries = [(258, 3, [8] * 3), (262, 3, [2]), (277, 3, [3]), (322, 3, [16]), (323, 3, [16]),
               (324, 4, [8 + 768 * i for i in range(6)]), (325, 4, [768] * 6)]
    files["tiled.tiff"] = tiff(37, 29, tiled, entries)

    save("lossy.webp", rgb, format="WEBP", quality=80)
    save("lossy_alpha.webp", rgba, format="WEBP", quality=80)
    save("lossless.webp", rgb, format="WEBP", lossless=True)
    save("lossless_alpha.webp", rgba, format="WEBP", lossless=True, exact=True)
    save("animated.webp", rgb, format="WEBP", save_all=True, append_images=[rgb.transpose(0)], lossless=True)
    exif = Image.Exif()
    for orientation in range(1, 9):
        exif[0x0112] = orientation
        save(f"orientation{orientation}.jpg", rgb.crop((0, 0, 17, 9)), format="JPEG", exif=exif, quality=90)
    exif[0x0112] = 6
    save("orientation6.png", rgb.crop((0, 0, 17, 9)), format="PNG", exif=exif)
    save("orientation6.webp", rgb.crop((0, 0, 17, 9)), format="WEBP", exif=exif, lossless=True)
    save("orientation6.tiff", rgb.crop((0, 0, 17, 9)), format="TIFF", tiffinfo={274: 6})
    save("animated.png", rgb, format="PNG", save_all=True, append_images=[rgb.transpose(0)])

    HERE.mkdir(exist_ok=True)
    expected = {}
    for name, data in sorted(files.items()):
        (HERE / name).write_bytes(data)
        image = Image.open(io.BytesIO(data))
        decoded = image.convert("RGB")
        entry = {"width": decoded.width, "height": decoded.height,
                 "rgb_sha256": hashlib.sha256(decoded.tobytes()).hexdigest()}
        if name.startswith("orientation"):
            upright = ImageOps.exif_transpose(image).convert("RGB")
            entry["upright"] = {"width": upright.width, "height": upright.height,
                                "rgb_sha256": hashlib.sha256(upright.tobytes()).hexdigest()}
        expected[name] = entry
    (HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main()
