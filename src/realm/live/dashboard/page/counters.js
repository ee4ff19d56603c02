// What was counted since the start: first what should not be, then the main counters.

const ALWAYS = new Set([
  "samples received", "samples filled", "samples dropped", "stream gaps", "stream resets",
  "bins given", "bins held", "bins neutral",
]);
// What may well be more than zero while all is as it should be.
const FINE = new Set([
  "samples received", "samples decoded", "stream connected", "stream extra channels",
  "stream reordered", "stream unit ratio", "stream rate hz", "bins given", "bins decoded",
  "bins neutral", "bins neutral unchecked", // unit and rate of a new connection are checked first
]);
const ELSEWHERE = new Set(["state", "reason", "latency_ms", "running_s", "bad_channels", "queued"]);

export function showCounters(list, quiet, status) {
  const all = Object.entries(status).flatMap(([name, value]) =>
    ELSEWHERE.has(name) ? [] : flat(name, value));
  const shown = all.filter(([name, value]) => value || ALWAYS.has(name));
  const [alarms, calm] = [shown.filter(alarming), shown.filter((one) => !alarming(one))];
  list.replaceChildren(...[...alarms, ...calm].map(entry));
  const rest = all.length - shown.length;
  quiet.textContent = rest ? `since the start; ${rest} others are 0` : "since the start";
}

// ["samples filled", 3] and so on, of counters in groups.
function flat(name, value) {
  const word = name.replaceAll("_", " ");
  if (value === null || typeof value !== "object") return [[word, value]];
  return Object.entries(value).flatMap(([inner, one]) => flat(`${word} ${inner}`, one));
}

const alarming = ([name, value]) => value && !FINE.has(name) && !name.endsWith("written");

function entry([name, value]) {
  const pair = document.createElement("div");
  const term = pair.appendChild(document.createElement("dt"));
  const said = pair.appendChild(document.createElement("dd"));
  term.textContent = name;
  said.textContent = typeof value === "number" ? value.toLocaleString("en") : String(value);
  pair.className = alarming([name, value]) ? "counted" : "";
  return pair;
}
