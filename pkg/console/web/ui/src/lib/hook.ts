import type { Key } from './i18n';
import type { Hook, HookSpec } from './types';

/** The events that a hook can be told of, in the order of the form. */
export const hookEvents = [
  { value: 'message.new', name: 'hooks.event.new', hint: 'hooks.event.new.hint' },
  { value: 'message.status', name: 'hooks.event.status', hint: 'hooks.event.status.hint' },
  { value: 'message.receipt', name: 'hooks.event.receipt', hint: 'hooks.event.receipt.hint' },
] as const satisfies readonly { value: string; name: Key; hint: Key }[];

export type HookEventName = (typeof hookEvents)[number]['value'];

/** A hook as its form has it. */
export interface HookForm {
  name: string;
  url: string;
  events: Record<HookEventName, boolean>;
  users: string;
  content: boolean;
  takes: boolean;
  on: boolean;
  ca: string;
}

/** What the form shows of a hook; a new one is told of new messages, without what they say. */
export function hookForm(hook: HookSpec | null): HookForm {
  const events = hook?.events ?? ['message.new'];
  return {
    name: hook?.name ?? '',
    url: hook?.url ?? '',
    events: { 'message.new': events.includes('message.new'), 'message.status': events.includes('message.status'), 'message.receipt': events.includes('message.receipt') },
    users: (hook?.users ?? []).join(', '),
    content: hook?.content ?? false,
    takes: hook?.takes ?? false,
    on: !hook?.disabled,
    ca: hook?.ca ?? '',
  };
}

/** Names in one line, separated by commas or blanks. */
export function splitNames(text: string): string[] {
  return text.split(/[\s,;]+/).filter((name) => name !== '');
}

/** What the form asks for. */
export function hookSpec(form: HookForm): HookSpec {
  return {
    name: form.name,
    url: form.url,
    events: hookEvents.map((e) => e.value).filter((e) => form.events[e]),
    users: splitNames(form.users),
    content: form.content,
    takes: form.takes,
    disabled: !form.on,
    ca: form.ca,
  };
}

/** The host that a hook's events go to. */
export function hookTarget(hook: Hook): string {
  return URL.canParse(hook.url) ? new URL(hook.url).host : hook.url;
}
