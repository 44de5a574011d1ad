import { count } from '../format';

/**
 * Puts values in the places {name} of a text. A text "one | many" is chosen from by {n}, as the
 * language counts. Pure.
 */
export function fill(text: string, params: Record<string, string | number>, loc: string): string {
  const forms = text.split(' | ');
  let chosen = forms[0]!;
  if (forms.length > 1 && new Intl.PluralRules(loc).select(Number(params.n)) !== 'one') chosen = forms[1]!;
  return chosen.replace(/\{(\w+)\}/g, (place, name: string) => {
    const value = params[name];
    if (value === undefined) return place;
    return typeof value === 'number' ? count(value, loc) : value;
  });
}
