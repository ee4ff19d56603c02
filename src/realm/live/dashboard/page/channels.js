// The health of every channel: a grid, calm where signals are whole, crossed out where they are not.

import { colour, fresh } from "./paper.js";

const NAMED = 8; // bad channels that are written out

export class Channels {
  constructor(canvas, info) {
    Object.assign(this, { canvas, names: info.channel_names, limit: info.bad_percent, bad: [] });
    canvas.onmousemove = (event) => this.hover(event);
  }

  // Draws the grid; returns it in words.
  draw() {
    const { pen, width, height } = fresh(this.canvas);
    const filled = this.latest.filled_percent;
    const grid = (this.grid = layout(filled.length, width, height));
    const [fine, warn, bad, cross] = ["fine", "warn", "bad", "on-bad"].map(colour);
    const gap = grid.cell > 5 ? 1.5 : 0.5;
    filled.forEach((percent, i) => {
      const left = (i % grid.columns) * grid.cell;
      const top = Math.floor(i / grid.columns) * grid.cell;
      const side = grid.cell - gap;
      pen.fillStyle = percent > this.limit ? bad : fine;
      pen.fillRect(left, top, side, side);
      if (percent > this.limit) strike(pen, left, top, side, cross);
      else if (percent > 0) {
        const high = side * Math.max(0.2, percent / 100); // as full as it is filled
        pen.fillStyle = warn;
        pen.fillRect(left, top + side - high, side, high);
      }
    });
    return this.words(filled);
  }

  words(filled) {
    const bad = (this.bad = this.names.filter((_, i) => filled[i] > this.limit));
    if (!bad.length) return `all ${filled.length} good`;
    const named = bad.slice(0, NAMED).join(", ") + (bad.length > NAMED ? ", …" : "");
    return `${bad.length} of ${filled.length} bad: ${named}`;
  }

  hover(event) {
    if (!this.grid) return;
    const column = Math.floor(event.offsetX / this.grid.cell);
    const i = Math.floor(event.offsetY / this.grid.cell) * this.grid.columns + column;
    const known = column < this.grid.columns && i < this.names.length;
    this.canvas.title = known
      ? `${this.names[i]}: ${this.latest.filled_percent[i]}% of the last second's samples replaced`
      : "";
  }
}

// Square cells as large as the space allows.
export function layout(count, width, height) {
  let best = { columns: count, cell: width / count };
  for (let columns = 1; columns <= count; columns++) {
    const cell = Math.min(width / columns, height / Math.ceil(count / columns), 40);
    if (cell >= best.cell) best = { columns, cell };
  }
  return best;
}

function strike(pen, left, top, side, ink) {
  if (side < 4) return;
  pen.strokeStyle = ink;
  pen.lineWidth = Math.max(1, side / 8);
  const edge = side * 0.25;
  pen.beginPath();
  pen.moveTo(left + edge, top + edge);
  pen.lineTo(left + side - edge, top + side - edge);
  pen.moveTo(left + side - edge, top + edge);
  pen.lineTo(left + edge, top + side - edge);
  pen.stroke();
}
