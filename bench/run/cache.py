"""The cache of finished pieces: one bitstream and its measurements for each image, codec and point.

The key covers everything that determines a piece, so a piece is found as long as it is still valid.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from typing import Any

from bench.codec import Codec, Point
from bench.files import cache_dir, sha256, sha256_file, to_json, write_atomically
from bench.metrics import of_set
from bench.run.codec_state import CodecState

CHAIN_VERSION = 1  # of the two-process round trip: raise it when the bits or pixels it gives change

log = logging.getLogger(__name__)


class Entry:
    """One piece in the cache: a bitstream, and a JSON file next to it with its hash and measurements."""

    def __init__(self, codec: Codec, state: CodecState, image_sha256: str, point: Point, device: str = "cpu"):
        key = {
            "chain": CHAIN_VERSION,
            "image": image_sha256,
            "codec": codec.name,
            "version": state.version,
            "code": state.code_sha256,
            "weights": state.weights_sha256,
            "point": point.name,
            "parameters": point.to_json(),
        }
        if device != "cpu":  # a GPU rounds differently, so its pieces are separate
            key["device"] = device
        digest = sha256(json.dumps(key, sort_keys=True).encode())
        folder = cache_dir() / "pieces" / codec.name / digest[:2]
        self.bitstream = folder / f"{digest}{codec.extension}"
        self.facts = folder / f"{digest}.json"

    def read(self, extra: Iterable[str] = ()) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
        """What is known of the bitstream, and its measurements if made by the present metrics; None for what is not.

        extra: metrics beyond the default set that the measurements have to have. Those that nobody asks for stay in the
        cache.

        A damaged entry is named in the log and treated as absent.
        """
        if not self.facts.is_file():
            return None, None
        try:
            stored = json.loads(self.facts.read_bytes())
            if stored.pop("digest") != sha256(to_json(stored).encode()):
                raise ValueError("the facts do not match their digest")
            coded, measured = stored["coded"], of_set(stored["measured"], extra)
            if sha256_file(self.bitstream) != coded["bitstream_sha256"]:
                raise ValueError("the bitstream does not match its hash")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("cache entry %s is damaged (%s); it will be recomputed", self.facts, error)
            return None, None
        return coded, measured

    def write(self, coded: dict[str, Any], measured: dict[str, Any]) -> None:
        stored = {"coded": coded, "measured": measured}
        stored["digest"] = sha256(to_json(stored).encode())  # type: ignore[assignment]
        write_atomically(self.facts, to_json(stored), sync=False)
