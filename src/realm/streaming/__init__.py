"""Decoding live: bundles and the decoder that runs them; numpy, scipy, numba and safetensors."""

from __future__ import annotations

from realm.streaming.bundle import Bundle
from realm.streaming.decoder import Decoded, StreamingDecoder, StreamState
from realm.streaming.quality import Quality

__all__ = ["Bundle", "Decoded", "Quality", "StreamState", "StreamingDecoder"]
