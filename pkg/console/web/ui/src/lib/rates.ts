// What flows through a link, from counters that are asked for now and then. Pure.

export interface Sample {
  at: number; // ms
  received: number; // bytes since the link was made
  sent: number;
}

export interface Rate {
  at: number;
  received: number; // bits a second
  sent: number;
}

/** What flowed between samples. Counters that went back are those of a link that was made anew. */
export function rates(samples: readonly Sample[]): Rate[] {
  const all: Rate[] = [];
  for (let i = 1; i < samples.length; i++) {
    const a = samples[i - 1]!;
    const b = samples[i]!;
    const seconds = (b.at - a.at) / 1000;
    if (seconds <= 0 || b.received < a.received || b.sent < a.sent) continue;
    all.push({ at: b.at, received: ((b.received - a.received) * 8) / seconds, sent: ((b.sent - a.sent) * 8) / seconds });
  }
  return all;
}

/** The highest of a picture: a round figure that holds all of them, at least a kilobit. */
export function ceiling(all: readonly Rate[]): number {
  const most = Math.max(1000, ...all.flatMap((r) => [r.received, r.sent]));
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((n) => n * power).find((n) => n >= most) ?? most;
}

/** A line through values, oldest first, in a picture of so many places that ends at its right side. */
export function line(values: readonly number[], most: number, places: number, width: number, height: number): string {
  return values
    .slice(-places)
    .map((v, i, shown) => {
      const x = width - ((shown.length - 1 - i) * width) / (places - 1);
      const y = height - (Math.min(v, most) / most) * height;
      return `${i === 0 ? 'M' : 'L'}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join('');
}

/** Bits a second in words: 0 bit/s, 12 kbit/s, 1.4 Mbit/s. */
export function bitsPerSecond(n: number, loc: string): string {
  const units = ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s'] as const;
  const power = n < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log10(n) / 3));
  const value = n / 1000 ** power;
  return `${new Intl.NumberFormat(loc, { maximumFractionDigits: value < 10 && power > 0 ? 1 : 0 }).format(value)} ${units[power]}`;
}
