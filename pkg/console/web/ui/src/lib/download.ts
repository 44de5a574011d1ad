import { toasts } from './toast.svelte';
import { t } from './i18n';
import { session } from './session.svelte';

/** Lets the browser fetch a file with its own progress, if we are still signed in: else it would save the refusal. */
export async function download(address: string): Promise<void> {
  await session.check();
  if (session.state !== 'in') return;
  save(address, '');
  toasts.good(t('download.begun'));
}

/** Saves text that the page has made itself. */
export function saveText(name: string, text: string): void {
  saveBlob(name, new Blob([text], { type: 'text/csv' }));
}

/** Saves what the page has put together. */
export function saveBlob(name: string, blob: Blob): void {
  const address = URL.createObjectURL(blob);
  save(address, name);
  URL.revokeObjectURL(address);
}

function save(address: string, name: string): void {
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
}
