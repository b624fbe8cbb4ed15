// The scores of an event as lines over the time of its clip; a click jumps there.
import { percent, t } from "./app.js";
import { labelText } from "./format.js";
import { colorOf } from "./strip.js";

const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 220, TOP = 8, MOST_LINES = 8;

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

export function drawGraph(svg, legend, detail, video) {
  const { times_s: times, scores, event } = detail;
  const end = Math.max(event.clip_s ?? 0, times[times.length - 1], 0.1);
  const start = Math.min(0, times[0]);
  const x = (time) => (WIDTH * (time - start)) / (end - start);
  const y = (score) => TOP + (HEIGHT - TOP) * (1 - score);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  for (const score of [0, 0.5, 1]) svg.append(shape("line", { class: "rule", x1: 0, x2: WIDTH, y1: y(score), y2: y(score) }));
  if (detail.start_s !== null) {
    const left = x(detail.start_s), right = x(detail.end_s ?? end);
    svg.append(shape("rect", { class: "span", x: left, y: 0, width: Math.max(right - left, 2), height: HEIGHT }));
  }
  for (const number of strongest(detail)) {
    const points = times.map((time, row) => `${x(time).toFixed(1)},${y(scores[row][number]).toFixed(1)}`).join(" ");
    const line = shape("polyline", { class: "series", points });
    line.style.stroke = colorOf(number);
    svg.append(line);
    legend.append(key(number, labelText(detail.labels[number])));
  }
  const peaks = strongest(detail).map((number) => `${labelText(detail.labels[number])} ${percent(peak(scores, number))}`);
  svg.setAttribute("aria-label", t("event.graph", { peaks: peaks.join(", ") }));
  if (video) follow(svg, video, x, (share) => start + share * (end - start));
}

function peak(scores, number) {
  return Math.max(...scores.map((row) => row[number]));
}

// The labels with the highest peaks, in the order of the model.
function strongest({ labels, scores }) {
  const numbers = labels.map((_, number) => number);
  const best = [...numbers].sort((a, b) => peak(scores, b) - peak(scores, a)).slice(0, MOST_LINES);
  return numbers.filter((number) => best.includes(number));
}

function key(number, label) {
  const item = document.createElement("span");
  const dot = document.createElement("span");
  item.className = "key";
  dot.className = "dot";
  dot.style.background = colorOf(number);
  item.append(dot, label);
  return item;
}

function follow(svg, video, x, timeOf) {
  const now = shape("line", { class: "now", y1: 0, y2: HEIGHT });
  svg.append(now);
  const move = () => {
    const at = x(video.currentTime);
    now.setAttribute("x1", at);
    now.setAttribute("x2", at);
    if (!video.paused) requestAnimationFrame(move);
  };
  for (const name of ["play", "seeked", "timeupdate", "loadedmetadata"]) video.addEventListener(name, move);
  svg.classList.add("seekable");
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    video.currentTime = Math.max(0, timeOf((event.clientX - box.left) / box.width));
  });
}
