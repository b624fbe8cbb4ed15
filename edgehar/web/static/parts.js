// Reads a multipart/x-mixed-replace stream whose parts all have a Content-Length.

const END_OF_HEAD = [13, 10, 13, 10];

// Gives { headers: Map, body: Uint8Array } for each part.
export async function* readParts(stream) {
  const reader = stream.getReader();
  let buffer = new Uint8Array(0);
  const more = async () => {
    const { done, value } = await reader.read();
    if (done) return false;
    const joined = new Uint8Array(buffer.length + value.length);
    joined.set(buffer);
    joined.set(value, buffer.length);
    buffer = joined;
    return true;
  };
  try {
    for (;;) {
      let end;
      while ((end = find(buffer, END_OF_HEAD)) < 0) if (!(await more())) return;
      const headers = parseHead(new TextDecoder().decode(buffer.subarray(0, end)));
      const start = end + END_OF_HEAD.length;
      const length = Number(headers.get("content-length"));
      while (buffer.length < start + length) if (!(await more())) return;
      yield { headers, body: buffer.slice(start, start + length) };
      buffer = buffer.slice(start + length);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parseHead(text) {
  const headers = new Map();
  for (const line of text.split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
  }
  return headers;
}

function find(bytes, wanted) {
  for (let start = bytes.indexOf(wanted[0]); start >= 0; start = bytes.indexOf(wanted[0], start + 1)) {
    if (wanted.every((value, offset) => bytes[start + offset] === value)) return start;
  }
  return -1;
}
