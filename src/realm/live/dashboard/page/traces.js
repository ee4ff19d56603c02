// Decoded and true behavior over the last seconds, one lane per dimension, newest at the right.

import { colour, fresh, stripes } from "./paper.js";

const HELD = 1;
const NEUTRAL = 2;
const LEAST_LANE = 3.6; // heights of the text
const ROOMY = 7; // from here on a lane's name has a line of its own
const SHRINK = 0.03; // of a lane's range per drawing

export class Traces {
  constructor(canvas, info) {
    Object.assign(this, { canvas, info, rows: [] });
    this.ranges = info.behavior_names.map(() => null);
  }

  add({ time_s, behavior, truth, flags, every }) {
    time_s.forEach((time, i) => {
      const last = this.rows.at(-1);
      if (last && time < last.time) this.rows = []; // another recording, or from its start again
      this.rows.push({ time, decoded: behavior[i], truth: truth?.[i], flags: flags[i], every });
    });
    const oldest = (this.rows.at(-1)?.time ?? 0) - this.info.span_s;
    const stale = this.rows.findIndex((row) => row.time >= oldest);
    if (stale > 0) this.rows.splice(0, stale);
  }

  // Draws everything; returns whether there is a truth to compare with.
  draw() {
    const { canvas, info, rows } = this;
    const lanes = info.behavior_names.length;
    const text = parseFloat(getComputedStyle(canvas).fontSize);
    canvas.style.minHeight = `${lanes * LEAST_LANE * text}px`;
    const { pen, width, height, size } = fresh(canvas);
    const lane = (height - 1.5 * size) / lanes;
    const roomy = lane > ROOMY * size;
    const x = this.timeAxis(pen, roomy ? 3.8 * size : this.gutter(pen, size), width, height, size);
    this.markStates(pen, x, height - 1.5 * size);
    const known = rows.some((row) => row.truth?.some((value) => value !== null));
    for (let k = 0; k < lanes; k++) {
      const box = { top: k * lane, height: lane, width, size, roomy };
      this.drawLane(pen, x, k, box, known);
    }
    return known;
  }

  // Room for the names of lanes at their left, where lanes are low.
  gutter(pen, size) {
    pen.font = named(size);
    const widest = Math.max(...this.info.behavior_names.map((name) => pen.measureText(name).width));
    pen.font = plain(size);
    return Math.min(12 * size, Math.max(widest, pen.measureText(`−0.00001 ${this.info.behavior_unit}`).width) + size);
  }

  timeAxis(pen, left, width, height, size) {
    const last = this.rows.at(-1)?.time ?? 0;
    const x = (time) => left + (width - left) * (1 - (last - time) / this.info.span_s);
    pen.fillStyle = colour("soft");
    pen.textAlign = "center";
    for (let back = 0; back <= this.info.span_s; back += 2) {
      const label = back ? `−${back} s` : "now";
      const half = pen.measureText(label).width / 2;
      pen.fillText(label, Math.min(x(last - back), width - half), height - 0.3 * size);
    }
    return x;
  }

  markStates(pen, x, height) {
    const marks = [[NEUTRAL, stripes(pen, "bad", true)], [HELD, stripes(pen, "warn", false)]];
    let from = null;
    this.rows.forEach((row, i) => {
      const next = this.rows[i + 1];
      from ??= row.time - this.width_s(row);
      if (next && next.flags === row.flags && !this.torn(row, next)) return;
      const mark = marks.find(([bit]) => row.flags & bit);
      if (mark) {
        pen.fillStyle = mark[1];
        pen.fillRect(x(from), 0, Math.max(2, x(row.time) - x(from)), height);
      }
      from = null;
    });
  }

  drawLane(pen, x, k, box, known) {
    const { top, height, width, size, roomy } = box;
    const range = this.range(k, known);
    const inner = [top + (roomy ? 1.9 : 0.3) * size, top + height - 0.4 * size];
    const y = (value) => inner[1] - (inner[1] - inner[0]) * (value - range[0]) / (range[1] - range[0]);
    pen.strokeStyle = colour("line");
    pen.lineWidth = 1;
    pen.beginPath();
    for (const at of [y(0), top + height]) {
      if (at < top || at > top + height) continue;
      pen.moveTo(x(this.rows.at(-1)?.time - this.info.span_s || 0), at);
      pen.lineTo(width, at);
    }
    pen.stroke();
    if (known) this.line(pen, x, y, (row) => row.truth?.[k], "truth", 1.6);
    this.line(pen, x, y, (row) => row.decoded[k], "decoded", 3);
    if (roomy) this.labelAbove(pen, k, top, inner, size, range);
    else this.labelLeft(pen, k, top, size);
  }

  line(pen, x, y, value, name, thick) {
    pen.strokeStyle = colour(name);
    pen.lineWidth = thick;
    pen.lineJoin = "round";
    pen.beginPath();
    let before = null;
    for (const row of this.rows) {
      const now = value(row);
      if (now === null || now === undefined) { before = null; continue; }
      if (before && !this.torn(before, row)) pen.lineTo(x(row.time), y(now));
      else pen.moveTo(x(row.time), y(now));
      before = row;
    }
    pen.stroke();
  }

  labelAbove(pen, k, top, inner, size, range) {
    pen.fillStyle = colour("soft");
    pen.textAlign = "right";
    pen.fillText(short(range[1]), 3.4 * size, inner[0] + 0.7 * size);
    pen.fillText(short(range[0]), 3.4 * size, inner[1]);
    pen.font = named(size);
    pen.textAlign = "left";
    const text = `${this.info.behavior_names[k]}  ${this.now(k)}`;
    pen.fillStyle = colour("back");
    pen.fillRect(4.2 * size, top + 0.25 * size, pen.measureText(text).width + 0.6 * size, 1.35 * size);
    pen.fillStyle = colour("text");
    pen.fillText(text, 4.5 * size, top + 1.3 * size);
    pen.font = plain(size);
  }

  labelLeft(pen, k, top, size) {
    pen.textAlign = "left";
    pen.font = named(size);
    pen.fillStyle = colour("text");
    pen.fillText(this.info.behavior_names[k], 0, top + 1.4 * size, 11.5 * size);
    pen.font = plain(size);
    pen.fillStyle = colour("soft");
    pen.fillText(this.now(k), 0, top + 2.7 * size, 11.5 * size);
  }

  now(k) {
    const last = this.rows.at(-1);
    return last ? `${short(last.decoded[k])} ${this.info.behavior_unit}` : "";
  }

  // What a lane spans: it grows at once and shrinks slowly.
  range(k, known) {
    let [low, high] = [Infinity, -Infinity];
    for (const row of this.rows) {
      for (const value of [row.decoded[k], known ? row.truth?.[k] : null]) {
        if (value === null || value === undefined) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
    }
    if (!(low <= high)) return [-1, 1];
    const margin = 0.05 * (high - low) || Math.abs(high) || 1;
    [low, high] = [low - margin, high + margin];
    const [a, b] = this.ranges[k] ?? [low, high];
    this.ranges[k] = [Math.min(low, a + SHRINK * (low - a)), Math.max(high, b + SHRINK * (high - b))];
    return this.ranges[k];
  }

  width_s(row) {
    return (row.every * this.info.bin_ms) / 1000;
  }

  torn(before, after) {
    return after.time - before.time > 2.5 * this.width_s(after);
  }
}

const plain = (size) => `${0.85 * size}px system-ui, sans-serif`;
const named = (size) => `600 ${1.15 * size}px system-ui, sans-serif`;
const short = (value) => (value === null ? "?" : Number(value.toPrecision(3)).toString().replace("-", "−"));
