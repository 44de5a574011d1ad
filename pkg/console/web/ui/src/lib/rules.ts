import type { RecordingRule } from './types';

/** A rule as its form has it: lists as they are typed. */
export type RuleForm = Omit<RecordingRule, 'people' | 'numbers'> & { people: string; numbers: string };

export function ruleForm(rule: RecordingRule | null): RuleForm {
  const r = rule ?? { name: '', people: [], side: 'any', numbers: [], record: 'always', notice: 'none', refused: 'go on' };
  return { ...r, people: r.people.join(' '), numbers: r.numbers.join(' ') };
}

const words = (text: string) => text.split(/[\s,;]+/).filter((w) => w !== '');

export function ruleOf(form: RuleForm): RecordingRule {
  return { ...form, name: form.name.trim(), people: words(form.people), numbers: words(form.numbers) };
}

/** The list with a rule in its place, or at its end. */
export function withRule(list: readonly RecordingRule[], at: number, rule: RecordingRule): RecordingRule[] {
  return at < 0 ? [...list, rule] : list.map((r, i) => (i === at ? rule : r));
}

/** The list with an entry one place nearer to its beginning or end. */
export function moved<T>(list: readonly T[], at: number, by: -1 | 1): T[] {
  const to = at + by;
  if (to < 0 || to >= list.length) return [...list];
  const out = [...list];
  [out[at], out[to]] = [out[to]!, out[at]!];
  return out;
}
