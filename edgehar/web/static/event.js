// One event: player, scores under the picture, and what a person says about it.
import { api, element, notice, percent, root, t } from "./app.js";
import { dateTime, duration, labelText } from "./format.js";
import { showImage } from "./feed.js";
import { drawGraph } from "./graph.js";

const id = location.pathname.split("/").pop();
const byId = (name) => document.getElementById(name);
let detail;

async function start() {
  try {
    detail = await api(`events/${id}`);
  } catch (error) {
    if (error.status !== 404) throw error;
    byId("title").textContent = t("event.gone");
    return;
  } finally {
    byId("event").removeAttribute("aria-busy");
  }
  const { event } = detail;
  const title = labelText(event.label) || t("events.sealed");
  byId("title").textContent = `${title} – ${event.camera_name}`;
  document.title = `${title} · edgehar`;
  byId("when").textContent = dateTime(event.time);
  const video = showStage(event, title);
  showFacts(event);
  if (detail.times_s.length) {
    byId("scores").hidden = false;
    drawGraph(byId("graph"), byId("legend"), detail, video);
  }
  if (event.picture || event.clip || event.sealed) showJudge(event);
  if (event.clip) showWhy(event);
}

function fileUrl(kind, download = false) {
  return `${root}api/v1/events/${id}/file.${kind}${download ? "?download=1" : ""}`;
}

function showStage(event, title) {
  const stage = byId("stage");
  if (event.clip) {
    const video = element("video", { controls: true, playsinline: true, preload: "metadata", src: fileUrl("mp4"), "aria-label": title });
    if (event.picture) video.poster = fileUrl("jpg");
    const problem = element("p", { class: "blank", hidden: true, role: "status" });
    video.addEventListener("error", () => {
      video.hidden = true;
      problem.hidden = false;
      problem.textContent = t("event.cannot-play", { codec: event.codec });
    });
    video.addEventListener("loadedmetadata", () => {
      if (video.videoWidth) stage.style.aspectRatio = `${video.videoWidth} / ${video.videoHeight}`;
    });
    stage.append(video, problem);
    return video;
  }
  if (event.picture) stage.append(element("img", { class: "picture", src: fileUrl("jpg"), alt: title }));
  else stage.append(element("p", { class: "blank", text: event.sealed ? t("event.sealed") : t("events.no-picture") }));
  return null;
}

function showFacts(event) {
  const rows = [
    ["events.camera", event.camera_name],
    ["event.peak", event.peak_score === null ? null : percent(event.peak_score)],
    ["event.duration", event.duration_s === null ? (event.going_on ? t("events.now") : null) : duration(event.duration_s)],
    ["event.clip", event.clip_s === null ? null : `${duration(event.clip_s)}, ${event.codec}`],
    ["event.model", detail.model || null],
    ["event.uploaded", event.uploaded ? t("event.yes") : null],
    ["event.note", event.note || null],
  ];
  const shown = rows.filter(([, value]) => value !== null);
  byId("facts").append(...shown.flatMap(([key, value]) => [element("dt", { text: t(key) }), element("dd", { text: value })]));
  const files = byId("files");
  if (event.clip) files.append(element("a", { class: "button", href: fileUrl("mp4", true), download: true, text: t("event.download") }));
  if (navigator.share) {
    const share = element("button", { type: "button", text: t("event.share") });
    share.addEventListener("click", () => navigator.share({ title: document.title, url: location.href }).catch(() => {}));
    files.append(share);
  }
}

function showWhy(event) {
  byId("why").hidden = false;
  byId("explain").addEventListener("click", async (clicked) => {
    clicked.target.disabled = true;
    byId("reasons-text").textContent = t("why.working");
    const answer = await fetch(`${root}api/v1/events/${id}/why.jpg`).catch(() => null);
    if (answer?.ok) {
      showImage(byId("reasons"), await answer.arrayBuffer(), "image/jpeg");
      byId("reasons").alt = t("why.alt", { label: labelText(event.label) });
      byId("reasons-text").textContent = t("why.read");
      byId("explain").hidden = true;
      return;
    }
    const problem = answer ? await answer.json().catch(() => ({})) : {};
    byId("reasons-text").textContent = t(problem.code === "other-model" ? "why.other-model" : "why.failed");
    clicked.target.disabled = false;
  });
}

function showJudge(event) {
  byId("judge").hidden = false;
  for (const label of new Set([...detail.labels, ...(event.label ? [event.label] : [])])) {
    if (label !== event.label) byId("labels").append(new Option(label));
  }
  showVerdict(event);
  const buttons = document.querySelectorAll("#judge [data-verdict]");
  for (const button of buttons) {
    button.addEventListener("click", () => {
      const { verdict } = button.dataset;
      if (verdict !== "other") return save({ verdict });
      const open = byId("other").hidden;
      byId("other").hidden = !open;
      button.setAttribute("aria-expanded", String(open));
      if (open) byId("other").label.focus();
    });
  }
  byId("other").addEventListener("submit", (submitted) => {
    submitted.preventDefault();
    save({ verdict: "other", label: byId("other").label.value.trim() });
  });
  byId("withdraw").addEventListener("click", () => save(null));
}

async function save(body) {
  try {
    const answer = await api(`events/${id}/label`, body === null ? { method: "DELETE" } : { method: "PUT", body });
    byId("other").hidden = true;
    showVerdict(answer);
  } catch (error) {
    notice(error.code === "invalid" ? t("judge.invalid") : error.message || t("error.connection"), "bad");
  }
}

function showVerdict(event) {
  const said = event.verdict;
  for (const button of document.querySelectorAll("#judge [data-verdict]")) {
    button.setAttribute("aria-pressed", String(said?.verdict === button.dataset.verdict));
  }
  byId("withdraw").hidden = !said;
  byId("said").textContent = said ? t("judge.said", { label: labelText(said.label), time: dateTime(said.time) }) : t("judge.why");
}

start().catch(() => notice(t("error.connection"), "bad"));
