"""Rows of layers against torchvision's feature extractor and against what the layers are by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from scipy.spatial.distance import pdist
from torch import Tensor, nn
from torchvision.models.feature_extraction import create_feature_extractor

from embcx_tui.compute.taps.forward import Outputs, TappedLayer
from embcx_tui.compute.taps.layers import chosen_layers, layers
from embcx_tui.study.errors import RequestError
from embcx_tui.study.pooling import Pool
from tests.compute.taps.models import Reused, Steps, Tokens

GIB = 1 << 30
Found = dict[str, TappedLayer]


def tap(
    model: nn.Module, batches: list[Any], wanted: Any = "auto", pool: Any = "flatten", memory: int = GIB
) -> tuple[Found, Outputs]:
    chosen, _ = chosen_layers(layers(model, batches[0]), wanted, pool)
    outputs = Outputs(model, batches, chosen, memory)
    return {layer.info.name: layer for layer in outputs.layers()}, outputs


def rows_of(layer: TappedLayer) -> NDArray[np.floating]:
    assert layer.rows is not None, layer.error
    return layer.rows


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.resnet18(weights=None, num_classes=10)
    # Statistics as training leaves them: in eval mode BatchNorm then does something.
    model.train()
    with torch.no_grad():
        model(torch.randn(8, 3, 64, 64))
    return model


def test_rows_of_a_resnet_equal_the_feature_extractors_bit_for_bit(
    resnet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embcx_tui.compute.taps.forward.is_wide", lambda n, units: False)
    batches = [torch.randn(6, 3, 64, 64) for _ in range(2)]
    names = {
        "relu": "relu", "layer1.0.relu": "layer1.0.relu", "layer1.0.relu:2": "layer1.0.relu_1",
        "layer2.1": "layer2.1.relu_1", "layer3.0.downsample": "layer3.0.downsample.1", "avgpool": "avgpool", "fc": "fc",
    }  # fmt: skip
    found, outputs = tap(resnet, batches, list(names))
    assert resnet.training and outputs.passes == 1
    extractor = create_feature_extractor(resnet, [*names.values(), "bn1"]).eval()
    with torch.no_grad():
        expected = [extractor(batch) for batch in batches]
    for name, node in names.items():
        want = torch.cat([one[node].flatten(1) for one in expected]).numpy()
        assert (rows_of(found[name]) == want).all(), name


def test_a_pass_ends_with_the_last_layer_of_its_group(resnet: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embcx_tui.compute.taps.forward.is_wide", lambda n, units: False)
    batches = [torch.randn(5, 3, 64, 64) for _ in range(2)]
    names = ["layer1.0.relu", "layer1.0.relu:2", "layer2.1", "layer4.1"]
    whole, _ = tap(resnet, batches, names)
    calls: list[str] = []
    heard = [
        module.register_forward_hook(lambda *_, name=name: calls.append(name))
        for name, module in resnet.named_children()
    ]
    try:
        # 10 rows of 16,384 units take 0.66 MB, so each of the first two layers needs a pass of its own.
        found, outputs = tap(resnet, batches, names, memory=1_400_000)
        assert outputs.passes == 3
    finally:
        for handle in heard:
            handle.remove()
    for name in names:
        assert (rows_of(found[name]) == rows_of(whole[name])).all(), name
    # One batch for the table of layers; then two a pass. A block that is cut short does not return: layer1 twice.
    assert [calls.count(name) for name in ("conv1", "layer1", "layer2", "layer3", "layer4", "fc")] == [7, 3, 3, 3, 1, 1]
    assert resnet.training and not any(len(module._forward_hooks) for module in resnet.modules())


def test_rows_are_those_before_an_operation_in_place(resnet: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embcx_tui.compute.taps.forward.is_wide", lambda n, units: False)
    batch = torch.randn(6, 3, 64, 64)
    found, _ = tap(resnet, [batch], ["bn1", "layer1.0.bn2"])
    clones: dict[str, Tensor] = {}
    altered: dict[str, Tensor] = {}
    modules = dict(resnet.named_modules())
    handles = [
        modules[name].register_forward_hook(
            lambda module, args, output, name=name: (
                clones.update({name: output.clone()}) or altered.update({name: output})
            )
        )
        for name in found
    ]
    resnet.eval()
    with torch.no_grad():
        resnet(batch)
    resnet.train()
    for handle in handles:
        handle.remove()
    for name, layer in found.items():
        assert (rows_of(layer) == clones[name].flatten(1).numpy()).all(), name
        assert not (rows_of(layer) == altered[name].flatten(1).numpy()).all(), "nothing works in place here"


def test_each_call_of_a_module_has_rows_of_its_own() -> None:
    torch.manual_seed(1)
    model = Steps(3).eval()
    batch = torch.randn(7, 3)
    found, _ = tap(model, [batch], "*")
    state = batch
    for call in ("cell", "cell:2", "cell:3"):
        with torch.no_grad():
            state = model.cell(state)
        assert (rows_of(found[call]) == state.numpy()).all()
        state = torch.tanh(state)


def test_wide_layers_are_reduced_and_keep_their_distances(resnet: nn.Module) -> None:
    batch = torch.randn(20, 3, 64, 64)
    found, _ = tap(resnet, [batch], ["layer1.0", "layer4.0"])
    wide, narrow = found["layer1.0"], found["layer4.0"]
    assert rows_of(wide).shape == (20, 20) and wide.width == 16_384 and 0 < wide.varying <= 16_384
    assert rows_of(narrow).shape == (20, 2_048) and (narrow.width, narrow.varying) == (0, 0)
    node = create_feature_extractor(resnet, ["layer1.0"]).eval()
    with torch.no_grad():
        raw = node(batch)["layer1.0"].flatten(1).double().numpy()
    np.testing.assert_allclose(pdist(rows_of(wide)), pdist(raw), rtol=1e-6)


def test_groups_that_fit_the_memory_give_the_same_rows_in_more_passes(resnet: nn.Module) -> None:
    batches = [torch.randn(8, 3, 64, 64) for _ in range(2)]
    wanted = ["layer1.*", "layer2.1", "fc"]
    at_once, outputs = tap(resnet, batches, wanted)
    in_groups, several = tap(resnet, batches, wanted, memory=6_000_000)
    assert outputs.passes == 1 and several.passes > 2
    assert list(at_once) == list(in_groups)
    assert all((rows_of(at_once[name]) == rows_of(in_groups[name])).all() for name in at_once)
    with pytest.raises(RequestError, match=r"^layer1\.0\.conv1: 16 rows of 16,384 units take .* raise memory="):
        tap(resnet, batches, wanted, memory=1_200_000)


def test_layers_that_are_not_finite_fail_alone() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 5000))
    batch = torch.randn(6, 3)
    batch[[1, 4], 0] = torch.inf
    found, _ = tap(model, [torch.randn(6, 3)], "*")
    assert not any(layer.error for layer in found.values())
    found, _ = tap(model, [batch], "*")
    assert {name: (layer.rows is None, layer.error) for name, layer in found.items()} == {
        "0": (True, "2 of 6 rows are not finite (float16?)"),
        "1": (True, "2 of 6 rows are not finite"),
    }


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_becomes_float32(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU()).to(dtype)
    batch = torch.randn(6, 3, dtype=dtype)
    found, _ = tap(model, [batch], "*")
    assert rows_of(found["1"]).dtype == np.float32
    with torch.no_grad():
        assert (rows_of(found["1"]) == model(batch).float().numpy()).all()


def test_maps_are_pooled_over_their_places(resnet: nn.Module) -> None:
    batch = torch.randn(5, 3, 64, 64)
    node = create_feature_extractor(resnet, ["layer1.0"]).eval()
    with torch.no_grad():
        raw = node(batch)["layer1.0"]
    for pool, expected in (("mean", raw.mean((2, 3))), ("max", raw.amax((2, 3)))):
        found, _ = tap(resnet, [batch], "layer1.0", pool)
        np.testing.assert_allclose(rows_of(found["layer1.0"]), expected.numpy(), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_enters_no_row(side: str) -> None:
    torch.manual_seed(4)
    model = Tokens()
    ids = torch.randint(1, 50, (6, 5))
    lengths = torch.tensor([5, 4, 3, 2, 1, 5])
    plain: dict[str, list[Tensor]] = {"mean": [], "max": [], "first": [], "last": []}
    with torch.no_grad():
        for row, length in zip(ids, lengths, strict=True):
            tokens = model.mix(model.embed(row[:length]))
            for pool, value in (
                ("mean", tokens.mean(0)),
                ("max", tokens.amax(0)),
                ("first", tokens[0]),
                ("last", tokens[-1]),
            ):
                plain[pool].append(value)
    padded = torch.zeros(6, 9, dtype=torch.long)
    mask = torch.zeros(6, 9, dtype=torch.long)
    for row, length in enumerate(lengths.tolist()):
        place = slice(0, length) if side == "right" else slice(9 - length, 9)
        padded[row, place] = ids[row, :length]
        mask[row, place] = 1
    pools: tuple[Pool, ...] = ("mean", "max", "first", "last")
    for pool in pools:
        found, _ = tap(model, [{"input_ids": padded, "attention_mask": mask}], "mix", pool)
        np.testing.assert_allclose(rows_of(found["mix"]), torch.stack(plain[pool]).numpy(), atol=1e-6, err_msg=pool)
    mask[3] = 0
    with pytest.raises(RequestError, match=r"^attention_mask: 1 of 6 rows hold no token but padding"):
        tap(model, [{"input_ids": padded, "attention_mask": mask}], "mix", "mean")


def test_batches_of_other_lengths_need_pooling() -> None:
    batches = [{"input_ids": torch.ones(3, t, dtype=torch.long), "attention_mask": torch.ones(3, t)} for t in (4, 6)]
    with pytest.raises(RequestError, match=r'^mix gives 24 units for one batch and 16 for another: .*pool="mean"'):
        tap(Tokens(), batches, "mix")
    found, _ = tap(Tokens(), batches, "mix", "mean")
    assert rows_of(found["mix"]).shape == (6, 4)


def test_batches_are_tensors_tuples_dicts_or_have_a_forward_of_their_own() -> None:
    model = Reused().eval()
    x = torch.randn(8, 6)
    expected = rows_of(tap(model, [x], "fc2")[0]["fc2"])
    for batch in ((x, torch.arange(8)), [x], {"x": x, "labels": torch.arange(8), "more": 1}):
        assert (rows_of(tap(model, [batch], "fc2")[0]["fc2"]) == expected).all()
    other = {"pixels": [x]}
    with pytest.raises(RequestError, match=r"^a batch has pixels, and the model takes x: give forward="):
        layers(model, other)

    def forward(model: nn.Module, batch: Any) -> Any:
        return model(batch["pixels"][0])

    chosen, _ = chosen_layers(layers(model, other, forward), "fc2", "flatten")
    found = next(iter(Outputs(model, [other], chosen, GIB, forward).layers()))
    assert (rows_of(found) == expected).all()
    for wrong in ("text", {"a": 1}, [x.tolist()]):
        with pytest.raises(RequestError, match=r"^a batch"):
            layers(model, wrong)


def test_a_vision_transformer_gives_the_extractors_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embcx_tui.compute.taps.forward.is_wide", lambda n, units: False)
    torch.manual_seed(5)
    model = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
    batch = torch.randn(4, 3, 32, 32)
    node = "encoder.layers.encoder_layer_1"
    extractor = create_feature_extractor(model, [f"{node}.add_1"])
    # In eval mode torch would fuse attention, which is not what trains, and calls none of its parts.
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad():
            expected = extractor(batch)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    found, _ = tap(model, [batch], [node, f"{node}.self_attention", "heads.head"])
    assert (rows_of(found[node]) == expected[f"{node}.add_1"].flatten(1).numpy()).all()
    # Attention gives a tuple of its output and its weights: the first of them.
    assert found[f"{node}.self_attention"].info.shape == (17, 16)
    with torch.no_grad():
        assert np.allclose(rows_of(found["heads.head"]), model(batch).numpy(), atol=1e-5)
    first, _ = tap(model, [batch], node, "first")
    assert (rows_of(first[node]) == expected[f"{node}.add_1"][:, 0].numpy()).all()


def test_torchs_own_transformer_calls_all_of_its_parts() -> None:
    torch.manual_seed(6)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    batch = torch.randn(4, 5, 8)
    found, _ = tap(model, [batch], "*", "last")
    assert {"layers.0.linear1", "layers.1.self_attn"} <= set(found)
    with torch.no_grad():
        np.testing.assert_allclose(rows_of(found["layers.1"]), model(batch)[:, -1].numpy(), atol=1e-5)


def test_a_tiny_bert_from_a_configuration() -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra `dev` has it)")
    torch.manual_seed(7)
    config = transformers.BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    model = transformers.BertModel(config).eval()
    ids = torch.randint(5, 60, (6, 8))
    plain = {"input_ids": ids, "attention_mask": torch.ones(6, 8, dtype=torch.long)}
    padded = {
        "input_ids": torch.cat([ids, torch.zeros(6, 4, dtype=torch.long)], 1),
        "attention_mask": torch.cat([plain["attention_mask"], torch.zeros(6, 4, dtype=torch.long)], 1),
        "labels": torch.arange(6),
    }
    auto = [one.name for one in layers(model, plain) if one.auto]
    assert auto == ["embeddings", "encoder.layer.0", "encoder.layer.1", "encoder.layer.2", "pooler"]
    with torch.no_grad():
        hidden = model(**plain, output_hidden_states=True).hidden_states
    for pool in ("mean", "first", "last"):
        short, _ = tap(model, [plain], "encoder.layer.?", pool)
        long, _ = tap(model, [padded], "encoder.layer.?", pool)
        for name, layer in short.items():
            np.testing.assert_allclose(rows_of(long[name]), rows_of(layer), atol=1e-5)
    np.testing.assert_allclose(rows_of(short["encoder.layer.1"]), hidden[2][:, -1].numpy(), atol=1e-6)
