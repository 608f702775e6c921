"""What a learning run goes on from."""
import pathlib

import torch


class Checkpoint:
    """One file, whole or not there at all."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def save(self, state):
        """Tensors, and Python's own numbers and strings: NumPy's cannot be loaded again."""
        temporary = self.path.with_name(self.path.name + ".tmp")
        torch.save(state, temporary)
        temporary.replace(self.path)

    def load(self, device):
        """The state kept last, or None."""
        return torch.load(self.path, map_location=device, weights_only=True) if self.path.exists() else None
