"""Everything a training needs to continue, in one file: written atomically, and readable by every later version.

A checkpoint states its format. Older formats, and that of the program that trained the trunk before this trainer, are
converted when read; at most the optimiser's state is lost, which recovers within a hundred steps. Two are kept: the
last one and its predecessor, which is read if the last is damaged.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from bench.errors import RdbenchError, UsageError
from bench.files import temp_path

FORMAT = 2


def random_state(crops: torch.Generator) -> dict[str, Any]:
    """The state of every random generator: the crops', the CPU's, and each GPU's."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"crops": crops.get_state(), "cpu": torch.get_rng_state(), "cuda": cuda}


def set_random_state(state: Mapping[str, Any], crops: torch.Generator) -> None:
    """Restore what :func:`random_state` returned; the GPUs' only if there are as many as then."""
    crops.set_state(state["crops"])
    torch.set_rng_state(state["cpu"])
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])


def previous(path: Path) -> Path:
    """The path of the checkpoint before the one at ``path``."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def save(path: str | Path, state: Mapping[str, Any]) -> int:
    """``state`` (tensors, numbers, strings, lists and dicts of them) in one file, atomically; returns its bytes.

    The existing file becomes the previous one. Raises RdbenchError on a full disk; both files then stay as they are.
    """
    path = Path(path)
    part = temp_path(path)
    try:
        with open(part, "wb") as file:
            torch.save({"format": FORMAT, **state}, file)
            file.flush()
            os.fsync(file.fileno())
        size = part.stat().st_size
        if path.is_file():
            path.replace(previous(path))
        part.replace(path)
    except (OSError, RuntimeError) as error:  # torch's own writer raises RuntimeError on a full disk
        raise RdbenchError(
            f"saving {path} failed: {error}; the previous checkpoint is intact. Free some disk space, then resume"
        ) from error
    finally:
        part.unlink(missing_ok=True)
    return size


def load(path: str | Path) -> tuple[dict[str, Any], Path]:
    """(the state that :func:`save` wrote, on the CPU and in the current format; the file it was read from).

    No code in it is executed. Raises UsageError if neither the file nor the previous one is a checkpoint.
    """
    path = Path(path)
    problems = []
    for candidate in (path, previous(path)):
        if not candidate.is_file():
            continue
        try:
            return _upgraded(torch.load(candidate, map_location="cpu", weights_only=True)), candidate
        except Exception as error:  # torch raises many types of errors for damaged files
            problems.append(f"{candidate} is not a complete checkpoint ({str(error).splitlines()[0]})")
    raise UsageError(f"cannot resume: {'; '.join(problems) or f'there is no {path}'}; --fresh starts over")


def exists(path: Path) -> bool:
    """Whether there is something to resume at ``path``."""
    return path.is_file() or previous(path).is_file()


def _upgraded(state: Any) -> dict[str, Any]:
    if not isinstance(state, dict):
        raise ValueError(f"expected a dict, got {type(state).__name__}")
    version = state.get("format", 0 if "auxiliary" in state else None)
    if version not in {*UPGRADES, FORMAT}:
        raise ValueError(f"expected a format up to {FORMAT}, got {version!r}")
    while version != FORMAT:
        version, upgrade = UPGRADES[version]
        state = upgrade(state)
    return state


def _from_the_tool(state: dict[str, Any]) -> dict[str, Any]:
    """Of the earlier training program: one average, batches of 4 crops of 256, SOAP with the kernel axis first."""
    optimiser = state["optimiser"]
    for moments in optimiser["state"].values():
        for key in ("first", "second"):
            if key in moments and moments[key].dim() == 3:
                moments[key] = moments[key].transpose(0, 1).contiguous()
    for group in optimiser["param_groups"]:
        group["statistics_every"] = 2
    return {
        "step": state["step"],
        "pixels": state["step"] * 4 * 256**2,
        "restarted_at": 0,
        "is_new": False,  # it had started from weights
        "elapsed_s": state["seconds"],
        "model": state["model"],
        "averages": [state["average"]],
        "optimiser": optimiser,
        "aux_optimiser": state["auxiliary"],
        "norms": torch.full((200,), float("nan")),
        "clipped": torch.zeros(()),
        "random": {"crops": state["crops"], "cpu": state["random"], "cuda": []},
        "identity": {},
        "started_from": {"from": "shared/tools/trunk"},
        "start": None,
        "best": None,
    }


def _from_format_1(state: dict[str, Any]) -> dict[str, Any]:
    """One average, other parameter groups, and a best score on a single set of images."""
    identity = {key: value for key, value in state["identity"].items() if key not in ("data", "validation")}
    return {
        **{key: state[key] for key in ("step", "model", "started_from", "elapsed_s", "random")},
        "pixels": 0,  # not recorded then
        "restarted_at": state["step"],
        "is_new": False,
        "averages": [state["average"]],
        "optimiser": None,
        "aux_optimiser": None,
        "identity": identity,
        "start": None,
        "best": None,
    }


UPGRADES: dict[int, tuple[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {
    0: (FORMAT, _from_the_tool),
    1: (FORMAT, _from_format_1),
}
