"""Live modules of many kinds, for tests of gradients of samples."""

import torch
from torch import nn
from torch.nn import functional as F

B, T, E = 5, 3, 8


class Language(nn.Module):
    """Embeddings that are the output, too, learned positions, two layers, a scale of one number."""

    def __init__(self):
        super().__init__()
        self.tokens = nn.Embedding(10, E, padding_idx=0)
        self.positions = nn.Parameter(torch.randn(1, T, E))
        layer = nn.TransformerEncoderLayer(E, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.norm = nn.RMSNorm(E)
        self.scale = nn.Parameter(torch.tensor(0.7))

    def forward(self, tokens):
        h = self.encoder(self.tokens(tokens) + self.positions)
        return self.scale * F.linear(self.norm(h), self.tokens.weight)


class Decoder(nn.Module):
    """Attention to something else: its packed weights are used in two parts."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerDecoderLayer(E, 2, 16, dropout=0.0, batch_first=True)

    def forward(self, x):
        return self.layer(x, 2 * x)


class Reused(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.unused, self.last = nn.Linear(4, 4), nn.Linear(2, 2), nn.Linear(4, 2)

    def forward(self, x):
        return self.last(self.layer(torch.tanh(self.layer(x))))


class Odd(nn.Module):
    """Matrices that are not transposed, differences, and rows by a list of outputs."""

    def __init__(self):
        super().__init__()
        self.matrix, self.shift = nn.Parameter(torch.randn(4, 3)), nn.Parameter(torch.randn(3))
        self.gate = nn.Parameter(torch.randn(T, 1))

    def forward(self, x):
        return {"out": torch.sin(self.gate * (x @ self.matrix) - self.shift)}


class Frames(nn.Module):
    """Images of a sequence, one after another in the batch."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 3, 3), nn.GroupNorm(1, 3)
        self.last = nn.Linear(3, 2)

    def forward(self, x):
        h = F.gelu(self.norm(self.conv(x.flatten(0, 1)))).mean((2, 3))
        return self.last(h).unflatten(0, (-1, T)).sum(1)


class Patches(nn.Module):
    """A first token for all, by expanding or repeating, and as many learned positions as needed."""

    def __init__(self, way):
        super().__init__()
        self.way, self.cut = way, nn.Conv2d(1, E, 2, stride=2)
        self.sizes = (1, 1) if way == "repeat" else (-1, -1)
        self.first, self.positions = (nn.Parameter(torch.randn(1, n, E)) for n in (1, 9))
        layer = nn.TransformerEncoderLayer(E, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.last = nn.Linear(E, 2)

    def forward(self, x):
        h = self.cut(x).flatten(2).mT
        first = getattr(self.first, self.way)(len(x), *self.sizes)
        h = torch.cat([first, h], 1)
        return self.last(self.encoder(h + self.positions[:, : h.shape[1]])[:, 0])


class Positions(nn.Module):
    """Positions that are looked up, the same for all samples, and one that is picked."""

    def __init__(self, n_positions):
        super().__init__()
        self.n, self.table = n_positions, nn.Embedding(n_positions + 2, E)
        self.tokens = nn.Embedding(10, E)
        self.few, self.last = nn.Parameter(torch.randn(3, E)), nn.Linear(E, 2)

    def forward(self, tokens):
        h = self.tokens(tokens) * self.few[1] + self.table(torch.arange(self.n))
        return self.last(torch.tanh(h)).mean(1)


class Shapes(nn.Module):
    """Parameters that are turned, copied for all samples, divided by and used in two parts."""

    def __init__(self):
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.randn(T, 4)) for _ in "ab")
        self.c = nn.Parameter(1 + torch.rand(4))

    def forward(self, x):
        h = (x.mT * self.a.t()).mT / self.c - self.b.flip(0).view(4 * T).view(T, 4)
        return torch.sin(h + (-self.c).expand(T, 4) + x * self.a[1:2] + self.c.repeat(T, 1))


def table():
    deep = nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.ReLU(), nn.Linear(6, 2, bias=False))
    normed = nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.SiLU(), nn.Linear(6, 2))
    images = nn.Sequential(
        *(nn.Conv2d(1, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.GELU()),
        *(nn.Conv2d(4, 4, 2, groups=2, bias=False), nn.GroupNorm(2, 4), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(16, 2)),
    )
    series = nn.Sequential(
        *(nn.Conv1d(2, 4, 3, dilation=2), nn.ReLU(), nn.Conv1d(4, 2, 3)),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten()),
    )
    volumes = nn.Sequential(nn.Conv3d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(54, 2))
    styles = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.InstanceNorm2d(4, affine=True), nn.PReLU(4)),
        *(nn.Conv2d(4, 2, 2), nn.PReLU(), nn.Flatten(), nn.Linear(18, 2)),
    )
    return {
        "rows": (deep, (5,)),
        "batch norm": (normed, (5,)),
        "images": (images, (1, 9, 9)),
        "series": (series, (2, 12)),
        "volumes": (volumes, (1, 4, 4, 4)),
        "frames": (Frames(), (T, 1, 6, 6)),
        "tokens": (Language(), None),
        "attention": (Decoder(), (T, E)),
        "reused": (Reused(), (4,)),
        "odd": (Odd(), (T, 4)),
        "patches, expanded": (Patches("expand"), (1, 4, 4)),
        "patches, repeated": (Patches("repeat"), (1, 4, 4)),
        "positions": (Positions(T), None),
        "as many looked up as samples": (Positions(B), (B,)),
        "styles": (styles, (1, 6, 6)),
        "shapes": (Shapes(), (T, 4)),
        "as many positions as samples": (nn.Linear(4, 2), (B, 4)),
        "one sample": (nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)), (T, 4)),
    }
