"""An endless, seeded stream of products: good pieces, the same with a defect, masks and captions."""

# Surfaces and defects register themselves.
from . import surfaces_cloth, surfaces_metal, surfaces_noise, surfaces_stone  # noqa: F401
from . import defects_areas, defects_lines, defects_parts  # noqa: F401
from .product import Defect, Product

__all__ = ["Defect", "Product"]
