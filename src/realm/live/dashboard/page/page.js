// Connects to the decoder, hands what it says to the parts of the page, and says when it is silent.

import { Channels } from "./channels.js";
import { showCounters } from "./counters.js";
import { Histogram } from "./histogram.js";
import { chooseTheme } from "./paper.js";
import { Traces } from "./traces.js";

const SILENT_MS = 1000; // without a message
const RETRY_MS = 1000;
const CALM_MS = 500; // between drawings for people who asked for less motion
const COUNT_MS = 500; // between showings of the counters
const VERSION = 1;

const byId = (id) => document.getElementById(id);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

let parts = null; // what is drawn, once the stream has said what it is
let heard = performance.now(); // when the last message came
let connected = false;
let sequence = 0; // of the last frame
let skipped = 0; // frames that this browser was too slow for
let due = false; // whether a drawing is asked for
let drawn = 0;
let counted = -Infinity;

function token() {
  // It comes behind the #, which is never sent; this tab keeps it, the address bar does not.
  if (location.hash.length > 1) {
    sessionStorage.setItem("token", location.hash.slice(1));
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem("token") ?? "";
}

function connect() {
  const secret = token();
  if (!/^[\w-]+$/.test(secret)) {
    return say("refused", "no token: open the whole address that was printed at the start");
  }
  const socket = new WebSocket(`ws://${location.host}/live`, ["realm.dashboard.1", `token.${secret}`]);
  socket.onmessage = (event) => take(JSON.parse(event.data));
  socket.onclose = () => {
    connected = false;
    setTimeout(connect, RETRY_MS);
  };
}

function take(message) {
  heard = performance.now();
  connected = true;
  if (message.type === "start") start(message);
  else frame(message);
}

function start(info) {
  if (info.version !== VERSION) return location.reload();
  sequence = 0;
  parts = {
    traces: new Traces(byId("traces"), info),
    channels: new Channels(byId("channels"), info),
    histogram: new Histogram(byId("histogram"), info),
  };
  info.rows.forEach((rows) => parts.traces.add(rows));
  byId("span").textContent = `last ${info.span_s} s`;
  byId("deadline").textContent = `deadline ${info.bin_ms} ms, counts on a log scale`;
  const lookahead = info.lookahead_ms ? `, lookahead ${info.lookahead_ms} ms` : "";
  byId("stream").textContent = `${info.session} · bins of ${info.bin_ms} ms${lookahead}`;
}

function frame(message) {
  if (sequence) skipped += message.sequence - sequence - 1;
  sequence = message.sequence;
  parts.traces.add(message.rows);
  parts.channels.latest = message.channels;
  parts.histogram.latest = message.latency;
  parts.latest = message;
  say(message.state.word, message.state.reason);
  if (!due) {
    due = true;
    requestAnimationFrame(draw);
  }
}

function draw(now) {
  if (calm.matches && now - drawn < CALM_MS) return requestAnimationFrame(draw);
  due = false;
  drawn = now;
  const { traces, channels, histogram, latest } = parts;
  document.querySelector(".key.truth").hidden = !traces.draw();
  byId("worst").textContent = channels.draw();
  byId("worst").className = channels.bad.length ? "alarm" : "";
  byId("clipped").textContent = `${channels.latest.clipped} clipped`;
  byId("quantiles").textContent = histogram.draw();
  byId("quantiles").className = histogram.late ? "alarm" : "";
  if (now - counted > COUNT_MS) {
    counted = now;
    showCounters(byId("counters"), byId("quiet"), latest.status);
  }
  byId("display").textContent = display(latest);
}

function display(latest) {
  const running = latest.status.running_s;
  const said = [`${latest.viewers} of ${latest.most_viewers} viewers`];
  if (latest.refused) said.push(`${latest.refused} connections refused`);
  if (skipped) said.push(`this browser skipped ${skipped} frames`);
  if (latest.not_drawn) said.push(`${latest.not_drawn} bins not drawn`);
  if (latest.rows.every > 1) said.push(`one bin of ${latest.rows.every} drawn`);
  if (running) said.unshift(`running for ${Math.floor(running / 60)} min ${Math.floor(running % 60)} s`);
  return said.join(" · ");
}

function say(word, reason) {
  const shown = { silent: "no data" }[word] ?? word;
  byId("state").dataset.state = word;
  byId("word").textContent = shown;
  byId("reason").textContent = reason;
  document.title = `${shown} – REALM`;
}

function watch() {
  const silence = performance.now() - heard;
  if (silence < SILENT_MS || byId("state").dataset.state === "refused") return;
  const why = connected
    ? "the connection is open but nothing comes"
    : "no connection; if the decoder was started anew, open the address that it printed";
  say("silent", `for ${Math.round(silence / 1000)} s: ${why}`);
}

chooseTheme(byId("theme"));
addEventListener("hashchange", () => location.reload()); // a new token was pasted
setInterval(watch, 250);
connect();
