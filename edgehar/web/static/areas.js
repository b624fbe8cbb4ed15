// Masks and the region, drawn over the picture with a finger, a mouse or the arrow keys.
import { t } from "./app.js";

const SVG = "http://www.w3.org/2000/svg";
const STEP = 0.01, LEAST = 0.01;

function shape(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const bounded = (share) => Math.round(Math.min(Math.max(share, 0), 1) * 1000) / 1000;

// Coordinates are shares of the whole picture; `shown` is the part that the page shows: [left, top, width, height].
export class Areas {
  constructor(svg, onChange) {
    this.svg = svg;
    this.onChange = onChange;
    this.masks = [];
    this.region = null;
    this.shown = [0, 0, 1, 1];
    this.mode = null;
    svg.addEventListener("pointerdown", (event) => this.beginDrag(event));
  }

  load(masks, region, shown) {
    this.masks = structuredClone(masks);
    this.region = region === null ? null : [...region];
    this.shown = shown ?? [0, 0, 1, 1];
    this.draw();
  }

  // The picture shows another part now: a saved region takes effect a moment later.
  shows(shown) {
    const part = shown ?? [0, 0, 1, 1];
    if (part.join() === this.shown.join()) return;
    this.shown = part;
    this.draw();
  }

  // Have the next drag draw a mask or the region.
  draws(mode) {
    this.mode = mode;
    this.svg.classList.toggle("drawing", mode !== null);
  }

  // Add a mask in the middle, for those who do not drag.
  add() {
    const [left, top, width, height] = this.shown;
    const at = (x, y) => [bounded(left + x * width), bounded(top + y * height)];
    this.masks.push([at(0.4, 0.4), at(0.6, 0.4), at(0.6, 0.6), at(0.4, 0.6)]);
    this.changed();
    this.focus(this.masks.length - 1, 0);
  }

  remove(number) {
    this.masks.splice(number, 1);
    this.changed();
  }

  changed() {
    this.draw();
    this.onChange();
  }

  focus(mask, corner) {
    this.svg.querySelector(`[data-corner="${mask}-${corner}"]`)?.focus();
  }

  point(event) {
    const box = this.svg.getBoundingClientRect();
    const [left, top, width, height] = this.shown;
    return [bounded(left + ((event.clientX - box.left) / box.width) * width), bounded(top + ((event.clientY - box.top) / box.height) * height)];
  }

  beginDrag(event) {
    const corner = event.target.dataset?.corner;
    if (corner === undefined && this.mode === null) return;
    event.preventDefault();
    const start = this.point(event), mode = this.mode;
    const move = corner === undefined ? (to) => this.stretch(mode, start, to) : this.mover(corner);
    if (corner === undefined && mode === "mask") this.masks.push([]);
    const onMove = (moved) => { move(this.point(moved)); this.draw(); };
    this.svg.setPointerCapture(event.pointerId);
    this.svg.addEventListener("pointermove", onMove);
    const end = () => {
      this.svg.removeEventListener("pointermove", onMove);
      this.finish(mode, corner);
    };
    this.svg.addEventListener("pointerup", end, { once: true });
    this.svg.addEventListener("pointercancel", end, { once: true });
  }

  stretch(mode, [x0, y0], [x1, y1]) {
    const [left, right] = [Math.min(x0, x1), Math.max(x0, x1)];
    const [top, bottom] = [Math.min(y0, y1), Math.max(y0, y1)];
    if (mode === "region") this.region = [left, top, bounded(right - left), bounded(bottom - top)];
    else this.masks[this.masks.length - 1] = [[left, top], [right, top], [right, bottom], [left, bottom]];
  }

  mover(name) {
    const [mask, corner] = name.split("-").map(Number);
    return (to) => { this.masks[mask][corner] = to; };
  }

  // A drag that is a mere click draws nothing.
  finish(mode, corner) {
    if (corner === undefined && mode === "mask") {
      const drawn = this.masks[this.masks.length - 1];
      if (!drawn.length || drawn[1][0] - drawn[0][0] < LEAST || drawn[2][1] - drawn[1][1] < LEAST) this.masks.pop();
    }
    if (corner === undefined && mode === "region" && this.region && (this.region[2] < LEAST || this.region[3] < LEAST)) this.region = null;
    this.draws(null);
    this.changed();
  }

  place([x, y]) {
    const [left, top, width, height] = this.shown;
    return [(x - left) / width, (y - top) / height];
  }

  draw() {
    const focused = this.svg.ownerDocument.activeElement?.dataset?.corner;
    const nodes = [];
    this.masks.forEach((mask, number) => {
      const points = mask.map((corner) => this.place(corner));
      nodes.push(shape("polygon", { class: "mask", points: points.map((point) => point.join(",")).join(" ") }));
      points.forEach(([x, y], corner) => nodes.push(this.handle(number, corner, x, y)));
    });
    if (this.region) {
      const [x, y] = this.place(this.region);
      nodes.push(shape("rect", { class: "region", x, y, width: this.region[2] / this.shown[2], height: this.region[3] / this.shown[3] }));
    }
    this.svg.replaceChildren(...nodes);
    if (focused) this.svg.querySelector(`[data-corner="${focused}"]`)?.focus();
  }

  handle(mask, corner, x, y) {
    const label = t("camera.corner", { corner: corner + 1, mask: mask + 1 });
    const node = shape("line", { class: "handle", x1: x, y1: y, x2: x, y2: y, tabindex: 0, role: "button", "aria-label": label, "data-corner": `${mask}-${corner}` });
    node.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
      if (!step) return;
      event.preventDefault();
      const [px, py] = this.masks[mask][corner];
      this.masks[mask][corner] = [bounded(px + step[0]), bounded(py + step[1])];
      this.changed();
    });
    return node;
  }
}
