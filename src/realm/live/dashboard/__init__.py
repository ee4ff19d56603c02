"""A page on this machine that shows a live decoder at work; needs aiohttp."""

from __future__ import annotations

from realm.live.dashboard.sink import DashboardSink

__all__ = ["DashboardSink"]
