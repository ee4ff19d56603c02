// Latencies around the deadline: bars for the last seconds, an outline for all since the start.

import { colour, fresh } from "./paper.js";

export class Histogram {
  constructor(canvas, info) {
    Object.assign(this, { canvas, edges: info.latency_edges_ms, deadline: info.bin_ms });
  }

  // Draws it; returns it in words.
  draw() {
    const { pen, width, height, size } = fresh(this.canvas);
    const { recent, total } = this.latest;
    const base = height - 1.4 * size;
    const step = width / total.length;
    const x = (ms) => step * (1 + (this.edges.length - 1) * this.share(ms));
    const most = Math.log1p(Math.max(1, ...total));
    const high = (count) => (base - 0.3 * size) * (Math.log1p(count) / most);
    recent.forEach((count, i) => {
      pen.fillStyle = colour(i > 0 && this.edges[i - 1] >= this.deadline ? "bad" : "decoded");
      pen.fillRect(i * step, base - high(count), step - 1, high(count));
    });
    this.outline(pen, total.map(high), step, base);
    this.axis(pen, x, width, base, size);
    return this.words();
  }

  share(ms) {
    const [low, top] = [this.edges[0], this.edges.at(-1)].map(Math.log);
    return (Math.log(ms) - low) / (top - low);
  }

  outline(pen, heights, step, base) {
    pen.strokeStyle = colour("soft");
    pen.lineWidth = 1;
    pen.beginPath();
    pen.moveTo(0, base);
    heights.forEach((high, i) => {
      pen.lineTo(i * step, base - high);
      pen.lineTo((i + 1) * step, base - high);
    });
    pen.lineTo(heights.length * step, base);
    pen.stroke();
  }

  axis(pen, x, width, base, size) {
    pen.textAlign = "center";
    pen.fillStyle = colour("soft");
    for (let ms = 0.001; ms <= 10000; ms *= 10) {
      const label = `${Number(ms.toPrecision(1))} ms`;
      if (x(ms) < 2 * size || x(ms) > width - 2 * size) continue;
      pen.fillText(label, x(ms), base + 1.1 * size);
      pen.fillRect(x(ms), base, 1, 4);
    }
    pen.strokeStyle = colour("text");
    pen.lineWidth = 2;
    pen.setLineDash([5, 4]);
    pen.beginPath();
    pen.moveTo(x(this.deadline), 0);
    pen.lineTo(x(this.deadline), base);
    pen.stroke();
    pen.setLineDash([]);
  }

  words() {
    const { p50_ms, p99_ms, max_ms, missed } = this.latest;
    if (p50_ms === null) return "nothing measured yet";
    return `p50 ${short(p50_ms)} · p99 ${short(p99_ms)} · max ${short(max_ms)} ms · ${missed} missed`;
  }

  // Whether a deadline was missed in the last seconds.
  get late() {
    return this.latest.recent.some((count, i) => count && i > 0 && this.edges[i - 1] >= this.deadline);
  }
}

const short = (value) => `${Number(value.toPrecision(2))}`;
