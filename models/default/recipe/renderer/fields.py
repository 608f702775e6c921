"""Fields [n, n] of float32 that everything else is made of: noise, coordinates, resampling, slopes."""

import functools

import numpy as np
from PIL import Image

F = np.float32


def resize(field, n, how=Image.BICUBIC):
    """A field at another size."""
    return np.asarray(Image.fromarray(np.ascontiguousarray(field, dtype=F)).resize((n, n), how))


def smooth(low, high, x):
    """0 below `low`, 1 above `high`, smooth between; `low` > `high` falls."""
    t = np.clip((x - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def unit(field):
    """Mean 0, deviation 1."""
    field = field - field.mean()
    return field / (field.std() + F(1e-6))


def span(field, cut=2.2):
    """A field of deviation 1 to 0..1, clipped at `cut` deviations."""
    return np.clip(field * F(0.5 / cut) + F(0.5), 0.0, 1.0)


@functools.lru_cache(maxsize=16)
def _frequencies(n):
    fy = (np.fft.fftfreq(n) * n).astype(F)[:, None]
    fx = (np.fft.rfftfreq(n) * n).astype(F)[None, :]
    return fx, fy


def spectral(rng, n, exponent=1.0, low=1.0, high=1e9, angle=0.0, stretch=1.0):
    """Noise whose amplitude falls by f^-exponent between `low` and `high` cycles a picture, features
    `stretch` times as long along `angle` as across; mean 0, deviation 1."""
    fx, fy = _frequencies(n)
    c, s = np.cos(angle), np.sin(angle)
    f2 = ((fx * c + fy * s) * stretch) ** 2 + (fy * c - fx * s) ** 2
    f2[0, 0] = 1.0
    gain = f2 ** F(-exponent / 2)
    gain *= F(1.0) / (1.0 + (low * low / f2) ** 2)
    if high < n:
        gain *= np.exp(-f2 / F(high * high))
    gain[0, 0] = 0.0
    white = np.fft.rfft2(rng.standard_normal((n, n), dtype=F))
    return unit(np.fft.irfft2(white * gain, s=(n, n)).astype(F))


def soft(rng, n, cells):
    """Smooth noise of about `cells` bumps a picture; mean 0, deviation about 1."""
    grid = rng.standard_normal((cells + 4, cells + 4), dtype=F)
    left, top = rng.uniform(1.0, 2.0, 2)
    image = Image.fromarray(grid).resize((n, n), Image.BICUBIC, box=(left, top, left + cells, top + cells))
    return np.asarray(image) * F(1.4)


def octaves(rng, n, cells, depth, gain=0.55):
    """Value noise: `depth` octaves, each twice as fine; mean 0, deviation 1."""
    total, weight = np.zeros((n, n), F), 1.0
    for _ in range(depth):
        if cells > n:
            break
        total += soft(rng, n, int(cells)) * F(weight)
        cells, weight = cells * 2, weight * gain
    return unit(total)


@functools.lru_cache(maxsize=16)
def grid(n):
    """x and y of the pixels' centres, -0.5 to 0.5."""
    line = ((np.arange(n, dtype=F) + F(0.5)) / F(n)) - F(0.5)
    x, y = np.meshgrid(line, line)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def turn(x, y, angle):
    c, s = F(np.cos(angle)), F(np.sin(angle))
    return x * c + y * s, y * c - x * s


def slopes(height):
    """dh/dx and dh/dy; `height` in widths of the picture."""
    n = height.shape[0]
    padded = np.pad(height, 1, mode="edge")
    half = F(n / 2)
    return (padded[1:-1, 2:] - padded[1:-1, :-2]) * half, (padded[2:, 1:-1] - padded[:-2, 1:-1]) * half


def with_slope(height, slope):
    """The height scaled so that its slopes have this deviation."""
    n = height.shape[0]
    steps = np.diff(height[:: max(1, n // 64)], axis=1) * F(n)
    return height * F(slope / (float(steps.std()) + 1e-6))


def blur(field, sigma):
    """Gaussian blur of a [n, n] or [n, n, c] field, `sigma` in pixels."""
    if sigma < 0.3:
        return field
    radius = int(np.ceil(2.5 * sigma))
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).astype(F)
    for axis in (0, 1):
        pads = [(0, 0)] * field.ndim
        pads[axis] = (radius, radius)
        padded = np.pad(field, pads, mode="edge")
        total = np.zeros_like(field)
        for k, weight in enumerate(kernel):
            cut = [slice(None)] * field.ndim
            cut[axis] = slice(k, k + field.shape[axis])
            total += padded[tuple(cut)] * weight
        field = total
    return field


def sample(field, px, py):
    """Bilinear samples of [n, n] or [n, n, c] at pixel positions, the border repeated."""
    n = field.shape[0]
    px, py = np.clip(px, 0, n - 1.001), np.clip(py, 0, n - 1.001)
    ix, iy = px.astype(np.int32), py.astype(np.int32)
    fx, fy = px - ix, py - iy
    if field.ndim == 3:
        fx, fy = fx[..., None], fy[..., None]
    flat = field.reshape(n * n, *field.shape[2:])
    at = iy * n + ix
    top = flat[at] * (1 - fx) + flat[at + 1] * fx
    bottom = flat[at + n] * (1 - fx) + flat[at + n + 1] * fx
    return top * (1 - fy) + bottom * fy


def grown(mask, reach):
    """True where `mask` is within `reach` pixels, rows and columns apart."""
    for axis in (0, 1):
        wide = mask.copy()
        for k in range(1, reach + 1):
            head, tail = [slice(None)] * 2, [slice(None)] * 2
            head[axis], tail[axis] = slice(k, None), slice(None, -k)
            wide[tuple(head)] |= mask[tuple(tail)]
            wide[tuple(tail)] |= mask[tuple(head)]
        mask = wide
    return mask


def shrunk(mask, reach):
    return ~grown(~mask, reach)


_CELLS = 256


class Cells:
    """Voronoi cells around one point in each square of a unit grid, moved by `jitter`."""

    def __init__(self, rng, x, y, jitter=0.8):
        self.tables = rng.random((4, _CELLS * _CELLS), dtype=F)
        bx, by = np.floor(x).astype(np.int32), np.floor(y).astype(np.int32)
        rx, ry = x - bx, y - by
        near = np.full(x.shape, 1e9, F)
        second, near_id = near.copy(), np.zeros(x.shape, np.int32)
        jx, jy = (self.tables[0] - F(0.5)) * F(jitter) + F(0.5), (self.tables[1] - F(0.5)) * F(jitter) + F(0.5)
        for oy in (-1, 0, 1):
            for ox in (-1, 0, 1):
                at = ((by + oy) & (_CELLS - 1)) * _CELLS + ((bx + ox) & (_CELLS - 1))
                d = (jx[at] + F(ox) - rx) ** 2 + (jy[at] + F(oy) - ry) ** 2
                closer = d < near
                second = np.where(closer, near, np.minimum(second, d))
                near = np.where(closer, d, near)
                near_id = np.where(closer, at, near_id)
        self.near, self.second, self.id = np.sqrt(near), np.sqrt(second), near_id

    @property
    def border(self):
        """0 on the borders between cells, rising to their middles."""
        return self.second - self.near

    def of_cell(self, k=0):
        """A random number 0..1 for each cell (`k` 0 or 1)."""
        return self.tables[2 + k][self.id]
