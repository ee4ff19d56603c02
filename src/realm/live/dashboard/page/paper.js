// What all drawings share: a canvas in sharp pixels, the colours of the page, stripes.

const style = getComputedStyle(document.documentElement);
export const colour = (name) => style.getPropertyValue(`--${name}`).trim();

// A cleared canvas of its size on the page, and that size in CSS pixels.
export function fresh(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  const wide = Math.max(1, Math.round(width * scale));
  const high = Math.max(1, Math.round(height * scale));
  if (canvas.width !== wide) canvas.width = wide;
  if (canvas.height !== high) canvas.height = high;
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  const size = parseFloat(style.fontSize);
  pen.font = `${0.85 * size}px system-ui, sans-serif`;
  return { pen, width, height, size };
}

// Stripes of a colour, leaning or upright, so that a state is told by more than its colour.
export function stripes(pen, name, leaning) {
  const tile = new OffscreenCanvas(10, 10);
  const brush = tile.getContext("2d");
  brush.globalAlpha = 0.2;
  brush.fillStyle = brush.strokeStyle = colour(name);
  brush.fillRect(0, 0, 10, 10);
  brush.globalAlpha = 0.6;
  brush.lineWidth = leaning ? 3 : 2;
  brush.beginPath();
  for (const x of leaning ? [-10, 0, 10] : [5]) {
    brush.moveTo(x, leaning ? 10 : 0);
    brush.lineTo(leaning ? x + 10 : x, leaning ? 0 : 10);
  }
  brush.stroke();
  return pen.createPattern(tile, "repeat");
}

// The theme of the machine, until somebody presses the button.
export function chooseTheme(button) {
  const machine = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  const root = document.documentElement;
  root.dataset.theme = localStorage.getItem("theme") ?? machine;
  button.onclick = () => {
    root.dataset.theme = root.dataset.theme === "light" ? "dark" : "light";
    localStorage.setItem("theme", root.dataset.theme);
  };
}
