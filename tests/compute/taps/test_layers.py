"""What a model's layers are, in which order, and which are measured where none are named."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn

from embcx_tui.compute.taps.layers import MAX_AUTO, chosen_layers, layers
from embcx_tui.study.errors import RequestError
from tests.compute.taps.models import Outputs, Reused, Steps


def auto(model: nn.Module, *shape: int) -> list[str]:
    return [layer.name for layer in layers(model, torch.zeros(shape)) if layer.auto]


def test_layers_come_in_the_order_of_their_calls_and_a_second_call_is_a_layer() -> None:
    table = layers(Reused(), torch.randn(8, 6))
    assert [(one.name, one.module, one.shape, one.units, one.calls) for one in table] == [
        ("fc1", "Linear", (5,), 5, 1),
        ("relu", "ReLU", (5,), 5, 2),
        ("fc2", "Linear", (4,), 4, 1),
        ("norm", "BatchNorm1d", (4,), 4, 1),
        ("relu:2", "ReLU", (4,), 4, 2),
        ("dropout", "Dropout", (4,), 4, 1),
    ]
    assert [one.parameters for one in table] == [35, 0, 24, 8, 0, 0]
    # A layer is what its weights, normalisation and activation give together.
    assert [one.name for one in table if one.auto] == ["relu", "dropout"]


def test_the_table_reads_as_a_table() -> None:
    lines = str(layers(Reused(), torch.randn(8, 6))).splitlines()
    assert lines[0].split() == ["name", "class", "shape", "units", "calls"]
    assert lines[2].split() == ["auto", "relu", "ReLU", "5", "5", "2"]


def test_of_a_resnet_the_stem_the_blocks_the_pool_and_the_head_are_measured() -> None:
    model = torchvision.models.resnet18(weights=None)
    blocks = [f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert auto(model, 2, 3, 64, 64) == ["maxpool", *blocks, "avgpool", "fc"]
    table = layers(model, torch.zeros(2, 3, 64, 64))
    names = [one.name for one in table]
    assert len(names) == 75 and names[:4] == ["conv1", "bn1", "relu", "maxpool"]
    # In call order, unlike named_modules: the block's only ReLU runs again after its second convolution.
    assert names.index("layer1.0.bn2") < names.index("layer1.0.relu:2") < names.index("layer1.0")


def test_of_a_transformer_the_embedding_the_blocks_and_the_head_are_measured() -> None:
    model = torchvision.models.VisionTransformer(32, 8, 3, 2, 16, 32, num_classes=5)
    blocks = [f"encoder.layers.encoder_layer_{block}" for block in range(3)]
    assert auto(model, 2, 3, 32, 32) == ["encoder.dropout", *blocks, "encoder.ln", "heads.head"]


def test_a_block_that_came_once_with_branches_in_it_is_one_layer() -> None:
    model = torchvision.models.inception_v3(weights=None, init_weights=False)
    names = auto(model, 2, 3, 96, 96)
    assert "Mixed_6a" in names and not [name for name in names if name.startswith("Mixed_6a.")]


def test_no_more_than_64_layers_are_measured_by_themselves_the_first_and_last_among_them() -> None:
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(200)))
    names = auto(model, 2, 2)
    assert len(names) == MAX_AUTO and names[0] == "0" and names[-1] == "199"


@pytest.mark.parametrize(
    ("model", "shape", "axes"),
    [
        (torchvision.models.swin_t, (2, 3, 64, 64), {"features.1.0": 3, "features.0.0": 1}),
        (torchvision.models.convnext_tiny, (2, 3, 64, 64), {"features.1.0": 1, "features.0": 1}),
        (torchvision.models.resnet18, (2, 3, 64, 64), {"layer1.0": 1, "relu": 1}),
    ],
)
def test_channels_are_found_where_they_are(model: type, shape: tuple[int, ...], axes: dict[str, int]) -> None:
    found = {one.name: one.axis for one in layers(model(weights=None), torch.zeros(shape))}
    assert {name: found[name] for name in axes} == axes


def test_what_gives_no_rows_is_named_and_cannot_be_chosen() -> None:
    table = layers(Outputs(), torch.randn(4, 3))
    assert [(one.name, bool(one.reason), one.shape) for one in table] == [
        ("a", False, (3,)),
        ("b", False, (3,)),
        ("c", True, ()),
        ("d", True, ()),
    ]
    with pytest.raises(RequestError, match=r"^c: gives no floating tensor with the batch in front"):
        chosen_layers(table, "c", "flatten")
    chosen, left_out = chosen_layers(table, "*", "flatten")
    assert [info.name for info, _ in chosen] == ["a", "b"] and len(left_out) == 2


def test_a_loop_of_more_than_64_calls_is_refused_by_its_name() -> None:
    batch = torch.randn(4, 3)
    assert len(layers(Steps(64), batch)) == 64
    table = layers(Steps(65), batch)
    with pytest.raises(RequestError, match=r"^cell: called 65 times in a pass \(at most 64\)"):
        chosen_layers(table, "cell*", "flatten")


def test_globs_and_pools_are_chosen_by_name_and_mistakes_are_told_in_one_line() -> None:
    table = layers(torchvision.models.resnet18(weights=None), torch.zeros(2, 3, 64, 64))
    chosen, _ = chosen_layers(table, ["layer[12].?", "fc"], {"layer1.*": "mean", "layer*": "max"})
    assert [(info.name, pool) for info, pool in chosen] == [
        ("layer1.0", "mean"),
        ("layer1.1", "mean"),
        ("layer2.0", "max"),
        ("layer2.1", "max"),
        ("fc", "flatten"),
    ]
    for layers_wanted, pool, said in (
        ("layr1.0", "flatten", r"no layer is called 'layr1.0'; the nearest names: layer1.0"),
        ("fc", "median", r"pool='median' is none of flatten, mean, max, first, last"),
        ("layer1.0", "first", r'pool="first" takes a token, and layer1.0 gives 64 × 16 × 16'),
    ):
        with pytest.raises(RequestError) as raised:
            chosen_layers(table, layers_wanted, pool)  # type: ignore[arg-type]  # "median" is the mistake
        assert str(raised.value).startswith(said) and "\n" not in str(raised.value)


def test_layers_wider_than_250_000_units_are_left_out_or_refused_with_the_remedy() -> None:
    table = layers(torchvision.models.vgg11(weights=None), torch.zeros(1, 3, 224, 224))
    chosen, left_out = chosen_layers(table, "auto", "flatten")
    assert "features.10" in [info.name for info, _ in chosen]
    assert left_out[0].startswith("features.2: 802,816 units are more than 250,000") and "64" in left_out[0]
    with pytest.raises(RequestError, match=r'^features\.2: .*pool="mean" leaves 64'):
        chosen_layers(table, "features.2", "flatten")
    assert chosen_layers(table, "features.2", "mean")[0][0][0].name == "features.2"
