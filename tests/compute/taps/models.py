"""Small models with the traps that naive hooks fall into."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Reused(nn.Module):
    """One ReLU, called twice; an in-place operation on what the first layer gave; an odd output."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(6, 5)
        self.relu = nn.ReLU(inplace=True)
        self.fc2 = nn.Linear(5, 4)
        self.norm = nn.BatchNorm1d(4)
        self.dropout = nn.Dropout(0.5)
        self.seen = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.fc1(x))
        x = self.fc2(x)
        x += 1.0
        out: Tensor = self.dropout(self.relu(self.norm(x)))
        return out


class Outputs(nn.Module):
    """A module that gives a tuple with an integer tensor first, one that gives a dict, one that gives no tensor, and
    one whose rows are not the batch's.
    """

    class Tuple(nn.Module):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return torch.arange(len(x)), x * 2

    class Dict(nn.Module):
        def forward(self, x: Tensor) -> dict[str, Any]:
            return {"loss": x.sum(), "hidden": [x[:1], x * 3]}

    class Nothing(nn.Module):
        def forward(self, x: Tensor) -> int:
            return len(x)

    class Turned(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.T

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c, self.d = self.Tuple(), self.Dict(), self.Nothing(), self.Turned()

    def forward(self, x: Tensor) -> Tensor:
        self.a(x), self.b(x), self.c(x), self.d(x)
        return x


class Steps(nn.Module):
    """A cell called once per time step."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.cell = nn.Linear(3, 3)
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.steps):
            x = torch.tanh(self.cell(x))
        return x


class Untidy(nn.Module):
    """Changes what a module should not change in eval mode: a buffer in place, another replaced, a third added, and
    random numbers drawn; raises for negative inputs, after all that.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.register_buffer("count", torch.zeros(()))
        self.register_buffer("cache", torch.zeros(2))
        self.count: Tensor
        self.cache: Tensor

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.cache = torch.ones(3)
        if "late" not in self._buffers:
            self.register_buffer("late", torch.ones(1))
        out: Tensor = self.fc(x + torch.rand(()) * 0)
        if bool((x < 0).any()):
            raise ArithmeticError("negative")
        return out


class Tokens(nn.Module):
    """Embeds tokens [b, t], as [b, t, 4]: the units of a token are its number and functions of it; padding is noise."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 4)
        self.mix = nn.Linear(4, 4)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        hidden = self.embed(input_ids)
        out: Tensor = self.mix(torch.where(attention_mask[..., None] != 0, hidden, torch.nan))
        return out
