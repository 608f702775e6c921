"""Single objects on a background."""

import numpy as np

from . import fields
from .fields import F


def disc(x, y, radius):
    """Signed distance to a circle, negative inside."""
    return np.hypot(x, y) - F(radius)
