// The live stream of some cameras on one connection. It rests while nobody looks, and connects again after a loss.
import { root, toLogIn } from "./app.js";
import { readParts } from "./parts.js";

const RETRY_MS = [500, 1000, 2000, 5000];
const SILENT_MS = 8000;

export class Feed {
  // query: of the API's /live. onPart: called with each part. onLost: called with whether the connection is lost.
  constructor(query, onPart, onLost = () => {}) {
    this.query = query;
    this.onPart = onPart;
    this.onLost = onLost;
    this.connection = null;
    this.failures = 0;
    // A phone that sleeps costs nothing; it connects again when it wakes up.
    document.addEventListener("visibilitychange", () => {
      if (document.hidden) return this.connection?.abort();
      this.connection = null;
      return this.connect();
    });
    this.connect();
  }

  async connect() {
    if (this.connection !== null || document.hidden) return;
    const mine = new AbortController();
    this.connection = mine;
    let watchdog;
    const expectMore = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => mine.abort(), SILENT_MS);
    };
    try {
      expectMore();
      const answer = await fetch(`${root}api/v1/live?${this.query}`, { signal: mine.signal });
      if (answer.status === 401) return toLogIn();
      if (!answer.ok) throw new Error(String(answer.status));
      for await (const part of readParts(answer.body)) {
        expectMore();
        this.failures = 0;
        this.onLost(false);
        this.onPart({ camera: Number(part.headers.get("x-camera")), kind: part.headers.get("x-kind"), type: part.headers.get("content-type"), body: part.body });
      }
      throw new Error("ended");
    } catch {
      if (this.connection === mine && !document.hidden) {
        this.onLost(true);
        setTimeout(() => this.connect(), RETRY_MS[Math.min(this.failures++, RETRY_MS.length - 1)]);
      }
    } finally {
      clearTimeout(watchdog);
      if (this.connection === mine) this.connection = null;
    }
  }
}

const urls = new WeakMap();
// Show the bytes of a picture in an <img>.
export function showImage(image, bytes, type) {
  const url = URL.createObjectURL(new Blob([bytes], { type }));
  image.src = url;
  image.hidden = false;
  if (urls.has(image)) URL.revokeObjectURL(urls.get(image));
  urls.set(image, url);
}
