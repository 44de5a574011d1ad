// Which time a log shows. Pure: now is a parameter.

export const presets = ['hour', 'today', 'yesterday', 'week', 'month', 'all', 'custom'] as const;
export type Preset = (typeof presets)[number];

export interface Period {
  from?: string; // RFC 3339
  to?: string;
}

export function isPreset(s: string | null): s is Preset {
  return presets.includes(s as Preset);
}

/** The bounds of a preset. Days are the reader's: they begin at his midnight. */
export function bounds(preset: Preset, now: Date, from = '', to = ''): Period {
  const midnight = (back: number) => new Date(now.getFullYear(), now.getMonth(), now.getDate() - back).toISOString();
  switch (preset) {
    case 'hour':
      return { from: new Date(now.getTime() - 3600_000).toISOString() };
    case 'today':
      return { from: midnight(0) };
    case 'yesterday':
      return { from: midnight(1), to: midnight(0) };
    case 'week':
      return { from: midnight(6) };
    case 'month':
      return { from: midnight(29) };
    case 'custom':
      return { from: fromLocal(from), to: fromLocal(to) };
    case 'all':
      return {};
  }
}

/** What <input type="datetime-local"> holds, as RFC 3339; nothing for a date that is half typed. */
function fromLocal(value: string): string | undefined {
  const at = new Date(value);
  return value === '' || Number.isNaN(at.getTime()) ? undefined : at.toISOString();
}
