/** The loudest of each part of a recording, in so many bars, 0 to 255; base64 is how the box tells it. */
export function bars(base64: string, count: number): number[] {
  const raw = atob(base64);
  const out: number[] = [];
  for (let i = 0; i < count && raw.length > 0; i++) {
    const from = Math.floor((i * raw.length) / count);
    const to = Math.max(from + 1, Math.floor(((i + 1) * raw.length) / count));
    let most = 0;
    for (let j = from; j < to && j < raw.length; j++) most = Math.max(most, raw.charCodeAt(j));
    out.push(most);
  }
  return out;
}
