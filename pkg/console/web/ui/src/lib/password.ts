// Hints while a password is typed. The box decides; this only tells early what it will say. Pure.

/** The box's own rule. */
export const minLength = 12;
const minDistinct = 5;

export type Hint = 'length' | 'variety' | 'name';

export interface Advice {
  hints: { hint: Hint; met: boolean }[];
  strength: 0 | 1 | 2 | 3 | 4; // 0: will be refused
}

export function advise(password: string, name: string): Advice {
  const chars = [...password];
  const lower = password.toLowerCase();
  const word = name.trim().toLowerCase();
  const hints: Advice['hints'] = [
    { hint: 'length', met: chars.length >= minLength },
    { hint: 'variety', met: new Set(lower).size >= minDistinct && !repeats(lower) },
    { hint: 'name', met: password !== '' && (word.length < 3 || !lower.includes(word)) },
  ];
  if (hints.some((h) => !h.met)) return { hints, strength: 0 };
  const kinds = [/[a-z]/, /[A-Z]/, /[0-9]/, /[^a-zA-Z0-9]/].filter((k) => k.test(password)).length;
  const points = chars.length + 2 * kinds + new Set(lower).size / 2;
  return { hints, strength: points > 34 ? 4 : points > 28 ? 3 : points > 23 ? 2 : 1 };
}

function repeats(s: string): boolean {
  return s !== '' && /^(.+?)\1+$/.test(s);
}
