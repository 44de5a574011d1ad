// Fails when the page grows over what a phone on a slow link loads at once.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

const most = 200_000; // bytes, all files together, compressed

const dist = new URL('../../dist/', import.meta.url).pathname;
let total = 0;
for (const name of readdirSync(dist, { recursive: true })) {
  const path = join(dist, name);
  if (!statSync(path).isFile() || name === 'placeholder.html') continue;
  total += gzipSync(readFileSync(path), { level: 9 }).length;
}
console.log(`the page: ${total} bytes compressed, of ${most}`);
if (total > most) {
  console.error('the page is too large');
  process.exit(1);
}
