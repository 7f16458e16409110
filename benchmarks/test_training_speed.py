"""The trainer's step and a bare loop with the same model, batch and crops; at most a tenth more is its goal."""

import pytest

torch = pytest.importorskip("torch", reason="the trainer needs the extra rdbench[learned]")
pytest.importorskip("compressai", reason="the trainer needs the extra rdbench[learned]")

from codecs_wrappers.learned.hyperprior import networks
from codecs_wrappers.learned.training.schemes.mean_scale import Config, MeanScaleLearner

ARCHITECTURE = {"family": "mean_scale", "N": 64, "M": 96}
RATE_WEIGHT, BATCH, CROP = 0.0154, 4, 128


def trainer_step(image):
    config = Config(name="speed", architecture=ARCHITECTURE, rate_weight=RATE_WEIGHT, batch=BATCH, crop=CROP)
    learner = MeanScaleLearner(config, [image], torch.device("cpu"))
    learner.begin()
    return lambda: learner.advance(0.0)


def bare_step(image):
    model = networks.build(ARCHITECTURE).to(memory_format=torch.channels_last)
    quantiles = model.entropy_bottleneck.quantiles
    optimiser = torch.optim.Adam([p for p in model.parameters() if p is not quantiles], lr=1e-4)
    aux_optimiser = torch.optim.Adam([quantiles], lr=1e-3)
    x = torch.stack([image[:, :CROP, :CROP]] * BATCH).float().div(255).contiguous(memory_format=torch.channels_last)

    def step():
        optimiser.zero_grad()
        aux_optimiser.zero_grad()
        out = model(x)
        bits = sum(-likelihoods.log2().sum() for likelihoods in out["likelihoods"].values())
        loss = RATE_WEIGHT * 255**2 * torch.nn.functional.mse_loss(out["x_hat"], x) + bits / (BATCH * CROP**2)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        model.aux_loss().backward()
        aux_optimiser.step()

    return step


@pytest.mark.benchmark(group="training step, CPU")
@pytest.mark.parametrize("make", [bare_step, trainer_step])
def test_training_step(benchmark, make):
    torch.manual_seed(0)
    step = make(torch.randint(0, 256, (3, 512, 512), dtype=torch.uint8))
    benchmark.pedantic(step, rounds=20, warmup_rounds=2)
