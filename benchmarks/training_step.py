"""A training step of this trainer next to an earlier commit's and the trunk tool's, in one run.

    git clone -q . /tmp/old && git -C /tmp/old checkout -q 4345ba1
    python benchmarks/training_step.py --old /tmp/old --tool ../shared/tools/trunk

Each trainer is a process of its own, with all cores; they take turns, a few steps at a time, so that they meet the
same machine. Printed are steps per second of wall time (the best turn, the median) and the processor time of a step,
which other processes disturb less. Batch of 4 crops of 256 x 256 from random images.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

BATCH, CROP, RATE_WEIGHT = 4, 256, 0.0277
NETWORKS = {"96/256": (96, 256), "128/320": (128, 320), "resgdn": None}


def ours(network: str, **settings: object) -> Callable[[], object]:
    """A step of the trainer of the checkout that is first on sys.path; settings: of its configuration."""
    import torch

    from codecs_wrappers.learned.training import config
    from codecs_wrappers.learned.training.schemes import learner_of

    if NETWORKS[network] is None:
        loaded = config.load("resgdn", batch=BATCH, crop=CROP, **settings)
    else:
        widths = dict(zip(("N", "M"), NETWORKS[network], strict=True))
        architecture = {"family": "mean_scale", **widths}
        loaded = config.load("mean_scale_0.0277", architecture=architecture, batch=BATCH, crop=CROP, **settings)
    learner = learner_of(loaded.scheme)(loaded, [image(torch)] * 4, torch.device("cpu"))
    learner.begin()
    return lambda: learner.advance(0.0)


def tool(network: str) -> Callable[[], object]:
    """A step as shared/tools/trunk takes it, with its kernels and the optimiser of the commit that it names."""
    import kernels
    import torch

    from codecs_wrappers.learned.hyperprior import networks
    from codecs_wrappers.learned.training.data import crops as data
    from codecs_wrappers.learned.training.steps.optimisers import Soap

    widths = dict(zip(("N", "M"), NETWORKS[network], strict=True))
    model = networks.build({"family": "mean_scale", **widths}).to(memory_format=torch.channels_last)
    hyper = {id(p) for layers in (model.h_a, model.h_s) for p in layers.parameters()}
    main = [p for name, p in model.named_parameters() if not name.endswith("quantiles")]
    quantiles = [p for name, p in model.named_parameters() if name.endswith("quantiles")]
    groups = [{"params": [p for p in main if id(p) not in hyper]}, {"params": [p for p in main if id(p) in hyper]}]
    groups[1]["turned"] = False
    optimiser, auxiliary = (
        Soap(groups, lr=2e-4, betas=(0.95, 0.99), basis_every=10),
        torch.optim.Adam(quantiles, lr=1e-3),
    )
    average = [p.detach().clone() for p in model.parameters()]
    crops = data.Crops([image(torch)] * 4, CROP, 1, torch.device("cpu"))
    norms: list[float] = []

    def step() -> None:
        x = crops.batch(BATCH).float().div_(255).contiguous(memory_format=torch.channels_last)
        y = kernels.run(model.g_a, x).float()
        z_hat, z_likelihoods = model.entropy_bottleneck(kernels.run(model.h_a, y).float())
        scales, means = kernels.run(model.h_s, z_hat).float().chunk(2, 1)
        _, noisy = model.gaussian_conditional(y, scales.detach(), means=means)
        _, rounded = model.gaussian_conditional(y.detach(), scales, means=means.detach(), training=False)
        relaxed = noisy.log2().sum((1, 2, 3))
        y_hat = y + ((y - means).round() + means - y).detach()
        bits = -z_likelihoods.log2().sum((1, 2, 3)) - rounded.log2().sum((1, 2, 3)) - relaxed + relaxed.detach()
        x_hat = kernels.run(model.g_s, y_hat).float()
        loss = RATE_WEIGHT * 255**2 * (x_hat - x).square().mean() + bits.mean() / CROP**2
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in main])))
        optimiser.step()
        if len(norms) % 10 == 1:
            auxiliary.zero_grad()
            model.aux_loss().backward()
            auxiliary.step()
        torch._foreach_lerp_(average, [p.data for p in model.parameters()], 0.002)

    return step


def image(torch: object) -> object:
    """Smooth noise, uint8 (3, 512, 512)."""
    torch.manual_seed(0)
    small = 255 * torch.rand(1, 3, 64, 64)
    return torch.nn.functional.interpolate(small, 512, mode="bicubic").clamp(0, 255)[0].to(torch.uint8)


def serve(kind: str, network: str, steps: int) -> None:
    """Take ``steps`` steps for each line read; answer with their wall and processor seconds."""
    import torch

    torch.set_num_threads(os.cpu_count() or 1)
    if kind == "now":
        from codecs_wrappers.learned.training.process import keep_freed_memory

        keep_freed_memory()
    # Before, only --precision bf16 was faster than fp32 on a CPU.
    step = tool(network) if kind == "tool" else ours(network, **({"precision": "bf16"} if kind == "before" else {}))
    for _ in range(12):  # SOAP's bases turn every ten steps
        step()
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        for _ in range(steps):
            step()
        now = resource.getrusage(resource.RUSAGE_SELF)
        processor = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        print(json.dumps([time.perf_counter() - wall, processor]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="a clone at the commit to compare with")
    parser.add_argument("--tool", type=Path, help="the folder of the trunk tool (with --old, whose optimiser it uses)")
    parser.add_argument("--turns", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10, help="a turn (default: 10)")
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(*args.serve, args.steps)
        return
    here = Path(__file__).resolve()
    places = {"now": [here.parents[1]]}
    if args.old:
        places["before"] = [args.old]
    if args.old and args.tool:
        places["tool"] = [args.tool, args.old]
    print(f"{'network':9} {'trainer':8} {'steps/s best':>13} {'median':>7} {'CPU s a step':>13} {'pixels/hour':>12}")
    for network in args.networks:
        servers = {}
        for kind, folders in places.items():
            if kind == "tool" and NETWORKS[network] is None:
                continue
            environment = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ}
            environment["PYTHONPATH"] = os.pathsep.join(str(folder.resolve()) for folder in folders)
            if kind == "tool":
                sizes = {"MMAP_THRESHOLD_": "8589934592", "TRIM_THRESHOLD_": "17179869184", "TOP_PAD_": "268435456"}
                environment |= {f"MALLOC_{key}": value for key, value in sizes.items()}
            call = [sys.executable, str(here), "--steps", str(args.steps), "--serve", kind, network]
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
            servers[kind] = subprocess.Popen(call, env=environment, cwd=folders[-1], **pipes)
            while (line := servers[kind].stdout.readline()) != "ready\n":
                if not line:
                    sys.exit(f"{kind} of {network} ended before its first step")
        turns: dict[str, list[list[float]]] = {kind: [] for kind in servers}
        for _ in range(args.turns):
            for kind, server in servers.items():
                server.stdin.write("go\n")
                server.stdin.flush()
                turns[kind].append(json.loads(server.stdout.readline()))
        for kind, server in servers.items():
            server.stdin.close()
            server.wait()
            rates = [args.steps / wall for wall, _ in turns[kind]]
            processor = min(used for _, used in turns[kind]) / args.steps
            pixels = max(rates) * 3600 * BATCH * CROP**2
            row = f"{max(rates):13.2f} {statistics.median(rates):7.2f} {processor:13.3f} {pixels:12.2e}"
            print(f"{network:9} {kind:8} {row}", flush=True)


if __name__ == "__main__":
    main()
