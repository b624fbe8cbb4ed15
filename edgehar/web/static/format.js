// Times, durations and sizes as people write them.
import { element, language, locale, t } from "./app.js";

// Names of months are those of the language, so Kazakh has numbers.
const month = language === locale ? "short" : "2-digit";
const clock = { day: "numeric", hour: "numeric", minute: "2-digit", second: "2-digit" };

export function dateTime(iso) {
  return new Date(iso).toLocaleString(locale, { year: "numeric", month, ...clock });
}

// For lists: without the year if it is this one.
export function shortDateTime(iso) {
  const date = new Date(iso);
  const year = date.getFullYear() === new Date().getFullYear() ? undefined : "numeric";
  return date.toLocaleString(locale, { year, month, ...clock });
}

// A text of the configuration, in which `code` is marked.
export function marked(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", { text: part }) : part));
}

export function duration(seconds) {
  if (seconds < 60) return t("unit.seconds", { n: Math.round(seconds * 10) / 10 });
  if (seconds < 3600) return t("unit.minutes", { n: Math.round(seconds / 60) });
  if (seconds < 172_800) return t("unit.hours", { n: Math.round(seconds / 3600) });
  return t("unit.days", { n: Math.round(seconds / 86_400) });
}

export function bytes(count) {
  for (const [unit, factor] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6]]) {
    if (count >= factor) return `${(count / factor).toLocaleString(locale, { maximumFractionDigits: 1 })} ${unit}`;
  }
  return `${(count / 1000).toLocaleString(locale, { maximumFractionDigits: 0 })} kB`;
}

// Labels come from models and people, and are shown as they are; two words are ours.
export function labelText(label) {
  if (label === "unknown") return t("label.unknown");
  return label === "ordinary" ? t("label.ordinary") : label;
}
