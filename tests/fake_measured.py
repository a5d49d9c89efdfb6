"""What a worker writes of networks that were trained elsewhere: a residual network of twelve layers, two runs, and one
run untrained; its inputs are not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from embcx_tui.store.files import write_arrays
from embcx_tui.store.paths import StudyPaths
from embcx_tui.study.events import (
    AnyEvent,
    DatasetLoaded,
    LayerDescribed,
    LayerFailed,
    LayerMeasured,
    MachineDescribed,
    ModelDescribed,
    SampleDrawn,
    StudyAccepted,
)
from embcx_tui.study.measured import validate_study
from embcx_tui.study.plan import Layer, Network, make_plan, sample_id
from embcx_tui.study.settings import StudySettings
from tests import fake_events

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LAYERS = (
    "relu",
    *(f"layer{stage}.{block}" for stage in (1, 2, 3, 4) for block in (0, 1)),
    "avgpool",
    "head.projection.of.a.very.long.name.norm",
    "fc",
)
_SHAPES = ((64, 112, 112), *((64 * 2**stage, 56 >> stage, 56 >> stage) for stage in (0, 0, 1, 1, 2, 2, 3, 3)))
SHAPES = (*_SHAPES, (512, 1, 1), (256,), (10,))
POINTS = 1_000


def measured_settings(runs: int = 2, recorded: bool = False) -> StudySettings:
    """Return the settings of a study of `runs` runs of one model and one untrained control, from files or recorded."""
    given = [(run, "") for run in range(runs)] + [(0, "untrained")]
    models = [
        {
            "name": "resnet18",
            "dataset": "cifar10-test",
            "run": run,
            "control": control,
            "file": f"/acts/{control or 'run'}{run}.safetensors",
            "layers": list(LAYERS),
        }
        for run, control in given
    ]
    source = {"from": "recorder"} if recorded else {"from": "files", "labels": "/acts/y.npy"}
    return validate_study({"kind": "measured", "name": "resnet18", "source": source, "models": models})


def measured_events(
    paths: StudyPaths, settings: StudySettings, at: float, measured: int | None, broken: Sequence[str], arrays: bool
) -> Iterator[AnyEvent]:
    """Yield what a worker writes between its first and its last line, as far as `measured` layers."""
    plan = make_plan(settings)
    (cohort,) = plan.cohorts
    clock = at + 2
    left = len(plan.layers) if measured is None else measured
    yield MachineDescribed(
        at=clock, device=fake_events.DEVICE, cores=2, memory=8 << 30, versions={"torch": "2.11.0"}
    )  # fmt: skip
    yield DatasetLoaded(
        at=clock, dataset=cohort.dataset, n_train=10_000, n_test=0, features=0, classes=CLASSES, shape=None
    )  # fmt: skip
    for run in cohort.runs:
        contents = {"index": np.arange(POINTS) * 10, "label": fake_events.labels_of(POINTS)}
        name = f"{sample_id(cohort.dataset, run)}.npz"
        file = write_arrays(paths.arrays, name, contents) if arrays else fake_events.NO_FILE
        yield SampleDrawn(at=clock, dataset=cohort.dataset, run=run, points=POINTS, file=file)
    for network in plan.networks:
        layers = tuple(
            LayerDescribed(name=name, shape=shape, units=int(np.prod(shape)), pool="flatten")
            for name, shape in zip(LAYERS, SHAPES, strict=True)
        )
        yield ModelDescribed(at=clock, network=network.id, layers=layers, rows=10_000)
    yield StudyAccepted(at=clock)
    for layer in plan.layers[:left]:
        clock += 0.5
        network = plan.network_by_id[layer.network or ""]
        if layer.id in broken:
            yield LayerFailed(
                at=clock, layer_id=layer.id, network=network.id, layer=layer.layer, method="tsne",
                reason="12 of 1,000 rows are not finite (float16 ends at 65,504)",
            )  # fmt: skip
        else:
            yield _measured(paths, settings, layer, network, clock, arrays)


def _measured(
    paths: StudyPaths, settings: StudySettings, layer: Layer, network: Network, at: float, arrays: bool
) -> LayerMeasured:
    share = layer.layer / network.depth
    apart = -0.3 * share if network.control else 0.6 * share
    noise = fake_events.noise_of(layer.id)
    width = int(np.prod(SHAPES[layer.layer - 1]))
    kl = round(0.9 * (1 - apart) + float(noise.normal(0, 0.012)), 5)
    return LayerMeasured(
        at=at,
        layer_id=layer.id,
        network=network.id,
        dataset=layer.dataset,
        run=layer.run,
        layer=layer.layer,
        units=POINTS if width > 4_096 else width,
        method="tsne",
        engine="exact",
        perplexity=settings.measure.perplexity,
        points=POINTS,
        seed=1,
        kl=kl,
        explained=0.8,
        degenerate=False,
        duplicates=0,
        converged=True,
        iterations=900,
        gradient_norm=1e-5,
        relative_change=1e-7,
        restart_kls=(kl,),
        seconds=0.5,
        metrics={"knn": round(0.4 + 0.5 * max(apart, 0.0), 4), "gdv": None if width > 4_096 else -0.2},
        file=fake_events.points_file(paths, layer, apart, POINTS, noise, kl) if arrays else fake_events.NO_FILE,
        name=LAYERS[layer.layer - 1],
        pool="flatten",
        width=width,
    )
