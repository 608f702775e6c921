"""The level projections: one affine map per tap, learnt on episodes (episodes.py).

A level's map of a picture is 1 - the largest cosine of each projected token with the projected tokens of the
references; the anomaly map is the sum over levels (core/model/maps.h). The bias acts as the level's weight and
as a floor: where it is large against the projected token, every distance shrinks.
"""
import torch
import torch.nn.functional as F
from torch import nn


class Moments:
    """Mean and covariance of each level's tokens, accumulated."""

    def __init__(self, levels, width, device):
        self.count = 0
        self.sum = torch.zeros(levels, width, dtype=torch.float64, device=device)
        self.outer = torch.zeros(levels, width, width, dtype=torch.float64, device=device)

    def add(self, tokens):
        """[B, levels, L, W]"""
        x = tokens.float().transpose(0, 1).flatten(1, 2)
        self.count += x.shape[1]
        self.sum += x.sum(1).double()
        self.outer += (x.transpose(1, 2) @ x).double()

    def mean_and_covariance(self):
        mean = self.sum / self.count
        return mean, self.outer / self.count - mean[:, :, None] * mean[:, None, :]


def whitening(mean, covariance, power=1.0, floor=0.05):
    """Weights [n, W, W] and biases [n, W] of (x - mean) @ covariance^(-power / 2), scaled to keep the trace."""
    weights, biases = [], []
    for m, c in zip(mean, covariance):
        values, vectors = torch.linalg.eigh(c)
        values = values.clamp_min(0)
        scale = (values / values.mean() + floor) ** (-power / 2)
        weight = (vectors * scale) @ vectors.T
        weights.append(weight)
        biases.append(-(weight @ m))
    return torch.stack(weights).float(), torch.stack(biases).float()


class Projection(nn.Module):
    """Level i: x -> W_i x + b_i. [.., n, L, W] -> unit vectors [.., n, L, E]."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())
        self.bias = nn.Parameter(bias.clone())

    def forward(self, tokens):
        projected = torch.einsum("...nlw,new->...nle", tokens, self.weight) + self.bias[:, None, :]
        return F.normalize(projected, dim=-1, eps=1e-12)


def distances(queries, references):
    """Unit tokens [Q, n, L, E] against [K, n, L, E]: 1 - largest cosine, [Q, n, L].

    The nearest row is looked for in the tower's type without gradients, and its cosine computed with them: the whole
    matrix of cosines is never kept.
    """
    rows = references.transpose(0, 1).flatten(1, 2)
    columns = queries.transpose(0, 1).flatten(1, 2)
    with torch.no_grad():
        half = torch.bfloat16 if queries.dtype == torch.float32 and queries.is_cuda else queries.dtype
        nearest = torch.bmm(columns.to(half), rows.to(half).transpose(1, 2)).argmax(-1)
    found = torch.gather(rows, 1, nearest[..., None].expand(-1, -1, rows.shape[-1]))
    cosines = (columns * found).sum(-1)
    return 1 - cosines.unflatten(1, (len(queries), -1)).transpose(0, 1)


def top_mean(maps, share=0.01):
    """Image score: mean of the largest 1 % of each map [Q, L]."""
    count = max(1, int(maps.shape[-1] * share + 0.5))
    return maps.topk(count, dim=-1).values.mean(-1)


def auroc(scores, labels):
    """Area under the ROC curve with ties counted half; None where one side is empty."""
    scores, labels = scores.double().flatten(), labels.flatten().bool()
    positives, negatives = int(labels.sum()), int((~labels).sum())
    if positives == 0 or negatives == 0:
        return None
    order, ranks = scores.sort()
    unique, inverse, counts = torch.unique(order, return_inverse=True, return_counts=True)
    ends = counts.cumsum(0).double()
    mid = ends - (counts.double() - 1) / 2
    rank = mid[inverse]
    total = rank[labels[ranks]].sum()
    return float((total - positives * (positives + 1) / 2) / (positives * negatives))


def image_auroc(scores, good):
    """Scores [..., Q], the first `good` of them of good pieces: the share of pairs in order, [...]."""
    difference = scores[..., good:, None] - scores[..., None, :good]
    return ((difference > 0).float() + 0.5 * (difference == 0).float()).mean((-2, -1))


def episode_loss(maps, covers, scale, offset):
    """maps [G + D, L] of good then defective pieces, covers [D, L].

    Two terms. Tokens: logistic loss of tokens in the defect against tokens of good pieces, after the good tokens of
    the episode have been brought to mean 0 and spread 1, so that only a product's own ranking counts, as with a
    threshold per product. Images: logistic loss of each pair's difference in image score.
    """
    good = maps[: len(maps) - len(covers)]
    bad = maps[len(maps) - len(covers):]
    mean, spread = good.mean(), good.std() + 1e-6
    logits_good = scale * ((good - mean) / spread - offset)
    logits_bad = scale * ((bad - mean) / spread - offset)
    inside = covers >= 0.3
    outside = covers <= 0
    negative = F.softplus(logits_good).mean() + (F.softplus(logits_bad) * outside).sum() / outside.sum().clamp_min(1)
    # Every defect counts the same, however small.
    per_piece = (F.softplus(-logits_bad) * inside).sum(-1) / inside.sum(-1).clamp_min(1)
    seen = inside.any(-1)
    positive = (per_piece * seen).sum() / seen.sum().clamp_min(1)
    image_good, image_bad = top_mean(good), top_mean(bad)
    margin = (image_bad[:, None] - image_good[None, :]) / spread
    return positive + negative / 2, F.softplus(1 - margin).mean()
