"""The process in which a codec runs: `python -m bench.run.worker encode|decode CODEC`.

It reads one JSON request per line from standard input and answers each with one line of JSON. A codec that prints,
crashes or hangs affects only this process. The decoding worker starts in an empty folder and gets bitstreams under
neutral names, so a codec that needs the original to decode fails here, as it would for a user.

The process leads its own process group. When the harness dies, standard input ends and the group kills itself.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from bench.codec import Codec, Embedded, Image, Point, check_image
from bench.discovery import load
from bench.errors import RdbenchError, is_transient
from bench.files import sha256, sha256_pixels, write_atomically

END_S = 2.0  # allowed for the process to end after standard input has ended


class Encoder:
    """Encodes images given by path."""

    def __init__(self, codec: Codec):
        self.codec = codec
        self.image = lru_cache(maxsize=1)(_load_image)
        self.full = lru_cache(maxsize=1)(self._full)

    def _full(self, path: str, pixels_sha256: str) -> bytes:
        return self.codec.encode_full(self.image(path, pixels_sha256))  # type: ignore[attr-defined]

    def encode(self, image: str, image_sha256: str, point: str, parameters: dict[str, Any], out: str) -> dict[str, Any]:
        """Writes the bitstream to ``out``; returns its size, its hash, and the hash of the encoder's reconstruction."""
        pixels, at = self.image(image, image_sha256), Point(point, **parameters)
        reconstruction, target_bpp, saturated = None, None, None
        if isinstance(self.codec, Embedded):
            full = self.full(image, image_sha256)
            bitstream = self.codec.truncate(full, at)
            reconstruction = self.codec.encoder_reconstruction(pixels, bitstream)
            if "bpp" in at.parameters:
                target_bpp = float(at["bpp"])
                saturated = len(full) < int(target_bpp * pixels.shape[0] * pixels.shape[1] / 8)
        else:
            bitstream, reconstruction = self.codec.encode_with_reconstruction(pixels, at)
        if not isinstance(bitstream, bytes) or not bitstream:
            raise TypeError(f"encode must return bytes, at least one; it returned {_describe(bitstream)}")
        write_atomically(out, bitstream, sync=False)
        return {
            "bytes": len(bitstream),
            "bitstream_sha256": sha256(bitstream),
            "encoder_reconstruction_sha256": None if reconstruction is None else sha256_pixels(reconstruction),
            "target_bpp": target_bpp,
            "saturated": saturated,
        }

    def time(
        self, image: str, image_sha256: str, point: str, parameters: dict[str, Any], repeats: int, out: str
    ) -> dict[str, Any]:
        """Encodes ``1 + repeats`` times; returns the seconds of the first call and of the others."""
        at = Point(point, **parameters)
        pixels = self.image(image, image_sha256)
        seconds, bitstream = _times(self.codec, lambda: self.codec.encode(pixels, at), repeats)
        write_atomically(out, bitstream, sync=False)
        return {**seconds, "height": pixels.shape[0], "width": pixels.shape[1]}

    def rate(self, image: str, image_sha256: str, target_bpp: float, tolerance: float, out: str) -> dict[str, Any]:
        """Writes a bitstream of the wanted rate to ``out``; returns its point, or ``reason`` if there is none."""
        from bench.run.rate_control import encode_to_rate

        try:
            found = encode_to_rate(self.codec, self.image(image, image_sha256), target_bpp, tolerance)
        except RdbenchError as error:
            return {"reason": str(error)}
        write_atomically(out, found.coded.bitstream, sync=False)
        return {"point": found.coded.point.name, "evaluations": found.evaluations}

    def whole(self, image: str, image_sha256: str, out: str) -> dict[str, Any]:
        """Writes the whole bitstream of an embedded codec to ``out``."""
        write_atomically(out, self.full(image, image_sha256), sync=False)
        return {}

    def switch(self, image: str, image_sha256: str, ends: list[dict[str, Any]], repeats: int) -> dict[str, Any]:
        """``switches``: (point, seconds of the first encoding at it, of the second), from end to end and back."""
        pixels = self.image(image, image_sha256)
        first, second = (Point(end["point"], **end["parameters"]) for end in ends)
        _times(self.codec, lambda: self.codec.encode(pixels, first), 0)
        found = []
        for point in (second, first) * repeats:
            seconds, _ = _times(self.codec, lambda point=point: self.codec.encode(pixels, point), 1)  # type: ignore[misc]
            found.append((point.name, seconds["first_s"], seconds["seconds"][0]))
        return {"switches": found}

    def cost(self, image: str, image_sha256: str, point: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """What encoding takes apart from time, and what weights the codec needs: see :func:`_cost`."""
        at, pixels = Point(point, **parameters), self.image(image, image_sha256)
        cost, _ = _cost(self.codec, lambda: self.codec.encode(pixels, at))
        return _per_pixel(cost, pixels) | {"weights": dict(self.codec.weights_size())}


class Decoder:
    """Decodes bitstreams given by path."""

    def __init__(self, codec: Codec):
        self.codec = codec

    def decode(self, bitstream: str, out: str) -> dict[str, Any]:
        """Writes the reconstruction as .npy to ``out``; returns its hash and shape."""
        pixels = self.codec.decode(Path(bitstream).read_bytes())
        if not isinstance(pixels, np.ndarray) or pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise TypeError(f"decode must return uint8 H x W x 3; it returned {_describe(pixels)}")
        pixels = np.array(pixels)  # a copy: the codec may reuse its own array
        with open(out, "wb") as file:  # unlike np.save, this reports a full disk
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(pixels))
            file.write(pixels.tobytes())
        return {"reconstruction_sha256": sha256_pixels(pixels), "height": pixels.shape[0], "width": pixels.shape[1]}

    def time(self, bitstream: str, repeats: int) -> dict[str, Any]:
        """Decodes ``1 + repeats`` times; returns the seconds of the first call and of the others."""
        data = Path(bitstream).read_bytes()
        return _times(self.codec, lambda: self.codec.decode(data), repeats)[0]

    def cost(self, bitstream: str) -> dict[str, Any]:
        """What decoding takes apart from time: see :func:`_cost`."""
        data = Path(bitstream).read_bytes()
        return _per_pixel(*_cost(self.codec, lambda: self.codec.decode(data)))


def _load_image(path: str, pixels_sha256: str) -> Image:
    """The pixels, read-only, so that an encoder cannot change the input of the next operating point."""
    from bench.data.images import load_verified  # imported here, for the encoding side only

    image = check_image(load_verified(path, pixels_sha256))
    image.setflags(write=False)
    return image


def _times(codec: Codec, call: Any, repeats: int) -> tuple[dict[str, Any], Any]:
    seconds = []
    for _ in range(1 + repeats):
        codec.forget()
        start = time.perf_counter()
        result = call()
        seconds.append(time.perf_counter() - start)
    return {"first_s": seconds[0], "seconds": seconds[1:]}, result


def _cost(codec: Codec, call: Any) -> tuple[dict[str, Any], Any]:
    """What one call takes, and its result. ``macs``: the multiplications with addition of its networks, as torch
    counts them; ``peak_gpu_mib``: the most memory that torch had taken on the GPU. None where no network
    ran, or no GPU is there.
    """
    codec.forget()
    torch = sys.modules.get("torch")  # a codec without networks does not import it
    if torch is None:
        return {"macs": None, "peak_gpu_mib": None}, call()
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        result = call()
    gpu_mib = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else 0
    return {"macs": counter.get_total_flops() / 2 or None, "peak_gpu_mib": gpu_mib or None}, result


def _per_pixel(cost: dict[str, Any], picture: Image) -> dict[str, Any]:
    """``cost`` with ``mac_per_pixel`` in place of ``macs``."""
    macs = cost.pop("macs")
    return cost | {"mac_per_pixel": macs and macs / (picture.shape[0] * picture.shape[1])}


def _peak_rss_mib() -> float:
    """The peak memory of this process. VmHWM, on Linux, is this program's own; ru_maxrss includes the parent's."""
    status = Path("/proc/self/status")
    if status.is_file():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _describe(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {' x '.join(map(str, value.shape))}"
    return f"{type(value).__name__} of length {len(value)}" if hasattr(value, "__len__") else type(value).__name__


def _requests() -> Iterator[str]:
    """The lines of standard input. A thread reads them, so that its end is noticed even during a long encode."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def read() -> None:
        for line in sys.stdin:
            lines.put(line)
        lines.put(None)
        time.sleep(END_S)  # the harness has closed the channel or died, so nobody waits for an answer
        if os.getpgrp() == os.getpid():
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    while (line := lines.get()) is not None:
        yield line


def main(side: str, name: str) -> None:
    """Serves requests until standard input closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints goes to the log, not into the answers
    start = time.perf_counter()
    codec = load(name)
    server: Any = {"encode": Encoder, "decode": Decoder}[side](codec)
    load_s, prepared = time.perf_counter() - start, False
    for line in _requests():
        request = json.loads(line)
        number = request.pop("id", None)
        try:
            if not prepared:
                start = time.perf_counter()
                codec.prepare()
                load_s, prepared = load_s + time.perf_counter() - start, True
            do = request.pop("do")
            answer = {} if do == "prepare" else getattr(server, do)(**request)
        except Exception as error:  # whatever a codec raises becomes a row; the next piece is still coded
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}", "transient": is_transient(error)}
        answer = {**answer, "id": number, "load_s": load_s, "peak_rss_mib": _peak_rss_mib()}
        print(json.dumps(answer), file=answers, flush=True)
    atexit._run_exitfuncs()
    sys.stderr.flush()
    os._exit(0)  # nothing is left to do, and taking torch apart takes over a second


if __name__ == "__main__":
    main(*sys.argv[1:])
