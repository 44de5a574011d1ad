import type { Key } from '../lib/i18n';
import type { IconName } from '../ui/icons';

export interface Place {
  path: string;
  name: Key;
  icon: IconName;
}

/** The places of the page, in the order of its menu. */
export const places: readonly Place[] = [
  { path: '/', name: 'nav.overview', icon: 'home' },
  { path: '/users', name: 'nav.users', icon: 'users' },
  { path: '/devices', name: 'nav.devices', icon: 'device' },
  { path: '/calls', name: 'nav.calls', icon: 'call' },
  { path: '/logs', name: 'nav.logs', icon: 'log' },
  { path: '/network', name: 'nav.network', icon: 'network' },
  { path: '/bridges', name: 'nav.bridges', icon: 'swap' },
  { path: '/account', name: 'nav.account', icon: 'settings' },
];

/** Those that a phone's bar shows; the others are behind its last button. */
export const first = 4;

export const logs: readonly Place[] = [
  { path: '/logs/calls', name: 'log.calls', icon: 'call' },
  { path: '/logs/recordings', name: 'log.recordings', icon: 'stream' },
  { path: '/logs/messages', name: 'log.messages', icon: 'chat' },
  { path: '/logs/threads', name: 'log.threads', icon: 'chat' },
  { path: '/logs/registrations', name: 'log.registrations', icon: 'device' },
  { path: '/logs/failures', name: 'log.failures', icon: 'shield' },
  { path: '/logs/audit', name: 'log.audit', icon: 'user' },
];

export const networks: readonly Place[] = [
  { path: '/network', name: 'nt.overview', icon: 'network' },
  { path: '/network/edit', name: 'nt.edit', icon: 'edit' },
  { path: '/network/firewall', name: 'nt.firewall', icon: 'shield' },
  { path: '/network/hosts', name: 'nt.hosts', icon: 'device' },
  { path: '/network/diagnosis', name: 'nt.diagnosis', icon: 'search' },
  { path: '/network/revisions', name: 'nt.revisions', icon: 'log' },
];

/** Where a conversation is shown. */
export function threadAddress(thread: string): string {
  return `/logs/thread?of=${encodeURIComponent(thread)}`;
}

/** Whether a path is at a place or below it. */
export function isAt(place: string, path: string): boolean {
  return place === '/' ? path === '/' : path === place || path.startsWith(`${place}/`);
}
