// How the parts of the box are, in words and colours. Pure.
import type { Alarm, Daemon, Overview } from './types';

export type Tone = 'good' | 'fair' | 'bad';
export type Part = 'switchd' | 'mediad' | 'admind' | 'netd';

export const parts: readonly Part[] = ['switchd', 'mediad', 'admind', 'netd'];

export interface Health {
  part: Part;
  tone: Tone;
  daemon: Daemon;
  alarms: Alarm[];
}

/** A part that does not answer is bad; one that reports something is fair. */
export function health(o: Overview): Health[] {
  return parts.flatMap((part) => {
    const daemon = o.daemons.find((d) => d.name === part);
    if (!daemon) return [];
    const alarms = o.alarms.filter((a) => a.source === part && !a.code.endsWith('.away'));
    return [{ part, daemon, alarms, tone: !daemon.up ? 'bad' : alarms.length > 0 ? 'fair' : 'good' }];
  });
}

/** The worst of all. */
export function worst(list: Health[]): Tone {
  if (list.some((h) => h.tone === 'bad')) return 'bad';
  return list.some((h) => h.tone === 'fair') ? 'fair' : 'good';
}

export interface Port {
  transport: string;
  port: string;
}

/** The open SIP ports, each once, the safest transport first. */
export function ports(o: Overview): Port[] {
  const order = ['tls', 'wss', 'tcp', 'udp'];
  const seen = new Map<string, Port>();
  for (const l of o.listeners) {
    const port = l.address.slice(l.address.lastIndexOf(':') + 1);
    seen.set(`${l.transport}:${port}`, { transport: l.transport, port });
  }
  return [...seen.values()].sort((a, b) => order.indexOf(a.transport) - order.indexOf(b.transport));
}
