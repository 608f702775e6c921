"""An endless, seeded stream of products: good pieces, the same with a defect, masks and captions."""

from . import surfaces_cloth, surfaces_noise  # noqa: F401  (they register themselves)
from .product import Defect, Product

__all__ = ["Defect", "Product"]
