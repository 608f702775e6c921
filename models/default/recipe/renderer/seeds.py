"""One generator for each purpose, so that no draw depends on what was drawn before it."""

import zlib

import numpy as np

_SALT = 0x68667761


def generator(seed, purpose, *numbers):
    """A generator that depends on these arguments alone."""
    words = [_SALT, int(seed), zlib.crc32(purpose.encode()), *(int(n) for n in numbers)]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))


def log_uniform(rng, low, high):
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def pick(rng, options, weights=None):
    """One of `options`, by weight."""
    if weights is None:
        return options[int(rng.integers(len(options)))]
    edges = np.cumsum(np.asarray(weights, dtype=np.float64))
    return options[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
