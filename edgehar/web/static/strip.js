// The scores of the last hour as a strip.
import { percent, t } from "./app.js";

const COLORS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];

export function colorOf(number) {
  return `var(${COLORS[number % COLORS.length]})`;
}

// Draw the strip: one column for each step, as high as its highest score, in the color of that label.
export function drawStrip(canvas, strip, camera) {
  const style = getComputedStyle(canvas);
  const width = canvas.clientWidth, height = canvas.clientHeight;
  const scale = devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const labels = Object.keys(strip.scores);
  const steps = labels.length ? strip.scores[labels[0]].length : 0;
  const colors = labels.map((_, number) => style.getPropertyValue(COLORS[number % COLORS.length]));
  let top = 0, topLabel = "";
  for (let step = 0; step < steps; step++) {
    let best = 0, which = 0;
    labels.forEach((label, number) => {
      const score = strip.scores[label][step];
      if (score > best) [best, which] = [score, number];
    });
    if (!best) continue;
    const share = (best - 1) / 254;
    if (share > top) [top, topLabel] = [share, labels[which]];
    context.globalAlpha = share >= camera.marks[labels[which]] ? 1 : 0.38;
    context.fillStyle = colors[which];
    const left = (step / steps) * width;
    const high = Math.max(1.5, share * (height - 4));
    context.fillRect(left, height - high, Math.max(width / steps - 0.4, 0.8), high);
  }
  context.globalAlpha = 1;
  drawEvents(context, strip, style, width, steps);
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", describe(strip, top, topLabel));
}

function drawEvents(context, strip, style, width, steps) {
  context.fillStyle = style.getPropertyValue("--alarm");
  for (const event of strip.events) {
    const at = (Date.parse(event.time) / 1000 - strip.start_s) / (steps * strip.step_s);
    if (at >= 0 && at <= 1) context.fillRect(at * width - 1, 0, 2.5, 4);
  }
}

function describe(strip, top, label) {
  const start = strip.start_s * 1000;
  const events = strip.events.filter((event) => Date.parse(event.time) >= start).length;
  const highest = label ? ` ${t("live.highest", { label, score: percent(top) })}` : "";
  return t("live.strip", { n: events }) + highest;
}
