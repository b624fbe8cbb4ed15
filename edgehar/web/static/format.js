// Times, durations and sizes as people write them.
import { language, t } from "./app.js";

export function dateTime(iso) {
  return new Date(iso).toLocaleString(language, { dateStyle: "medium", timeStyle: "medium" });
}

export function duration(seconds) {
  if (seconds < 60) return t("unit.seconds", { n: Math.round(seconds * 10) / 10 });
  if (seconds < 3600) return t("unit.minutes", { n: Math.round(seconds / 60) });
  if (seconds < 172_800) return t("unit.hours", { n: Math.round(seconds / 3600) });
  return t("unit.days", { n: Math.round(seconds / 86_400) });
}

export function bytes(count) {
  for (const [unit, factor] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6]]) {
    if (count >= factor) return `${(count / factor).toLocaleString(language, { maximumFractionDigits: 1 })} ${unit}`;
  }
  return `${(count / 1000).toLocaleString(language, { maximumFractionDigits: 0 })} kB`;
}

// Labels come from models and people, and are shown as they are; two words are ours.
export function labelText(label) {
  if (label === "unknown") return t("label.unknown");
  return label === "ordinary" ? t("label.ordinary") : label;
}
