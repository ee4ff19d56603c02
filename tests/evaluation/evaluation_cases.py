"""Rows and series as a run leaves them, for the tests of tables, figures and reports."""

from __future__ import annotations

import math

import numpy as np

from realm.evaluation.results import UNDEFINED, ResultRow
from realm.report.trajectories import Trajectory

LEVELS = {"ridge": 0.55, "gru": 0.72, "scratch": 0.7, "teacher_probe": 0.85, "student": 0.76}


def row(method="student", session="day0", seed=0, split="test", r2=0.5, **changes):
    values = {
        "subject": "sim1",
        "label_s": "all",
        "lookahead_ms": 0.0,
        "r2_low": r2 - 0.1,
        "r2_high": r2 + 0.1,
        "pearson_r": 0.8,
        "r2_shifted": -0.01,
        "parameters": 61234,
        "train_cpu_s": 12.5,
        "us_per_bin": 33.3,
    }
    values |= changes
    return ResultRow(method=method, session=session, seed=seed, split=split, r2=r2, **values)


def run_rows(sessions=("day0", "day1", "day2"), seeds=(0, 1, 2), budgets=("all", 30.0), still=()):
    rng, rows = np.random.default_rng(0), []
    for budget in budgets:
        for session in sessions:
            for method, level in LEVELS.items():
                for seed in seeds if method != "ridge" else seeds[:1]:
                    for split in ("validation", "test"):
                        r2 = level - 0.2 * (budget != "all") + rng.normal(0, 0.03)
                        scores = {"r2": r2, "r2_low": r2 - 0.08, "r2_high": r2 + 0.06}
                        if session in still:
                            names = (*scores, "pearson_r", "r2_shifted")
                            scores = dict.fromkeys(names, UNDEFINED)
                        ahead = math.inf if method == "teacher_probe" else 0.0
                        changes = {"label_s": budget, "lookahead_ms": ahead, **scores}
                        rows.append(row(method, session, seed, split, **changes))
    return rows


def trajectory(dims=2, unit="cm/s", n=3000, methods=("ridge", "student")):
    rng = np.random.default_rng(1)
    kernel = np.hanning(40)
    truth = np.stack([np.convolve(rng.normal(size=n), kernel, "same") for _ in range(dims)], axis=1)
    mask = np.ones(n, bool)
    mask[700:800] = False
    decoded = {method: truth + rng.normal(size=truth.shape) for method in methods}
    names = [f"velocity {'xyz'[dim]}" for dim in range(dims)]
    return Trajectory("day0", names, unit, 20.0, 192.0, truth, mask, decoded)


def training_records(stages=("teacher", "student"), steps=120, seeds=(0,)):
    rng, records = np.random.default_rng(2), []
    for stage in stages:
        for seed in seeds:
            for step in range(1, steps + 1):
                loss = 0.5 + math.exp(-step / 20) + 0.05 * rng.normal()
                common = {"stage": stage, "seed": seed, "step": step}
                records.append(
                    {**common, "split": "train", "loss": loss, "reconstruction": loss - 0.1}
                )
                if step % 20 == 0:
                    measured = (
                        {"reconstruction": loss, "channel_mean": 1.0, "interpolation": 0.8}
                        if stage == "teacher"
                        else {"r2": 0.8 - math.exp(-step / 30)}
                    )
                    records.append({**common, "split": "validation", "score": 0.0, **measured})
    return records
