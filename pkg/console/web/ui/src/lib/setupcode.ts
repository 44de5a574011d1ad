// The set-up code as people read and type it. Pure.

const length = 12;

/** Writes what was typed so far as the box shows it: xxxx-xxxx-xxxx. */
export function group(typed: string): string {
  const plain = typed.toLowerCase().replace(/[^a-z0-9]/g, '').slice(0, length);
  return plain.replace(/(.{4})(?=.)/g, '$1-');
}

export function complete(typed: string): boolean {
  return group(typed).length === length + 2;
}
