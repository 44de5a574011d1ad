import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig, type Plugin } from 'vite';

const dist = join(import.meta.dirname, '../dist');

/** Empties dist but for the placeholder, which git keeps so that Go builds without Node. */
function clean(): Plugin {
  return {
    name: 'clean',
    apply: 'build',
    buildStart() {
      for (const name of readdirSync(dist)) {
        if (name !== 'placeholder.html') rmSync(join(dist, name), { recursive: true });
      }
    },
  };
}

export default defineConfig({
  plugins: [svelte(), clean()],
  build: {
    outDir: dist,
    emptyOutDir: false,
    assetsInlineLimit: 0, // the box's policy allows no inline script and no data: font
    modulePreload: { polyfill: false },
    reportCompressedSize: true,
  },
  server: {
    // A running admind, as `sanchar dev` has it: npm run dev shows the page as it is edited.
    proxy: { '/api': { target: process.env.SANCHAR_API ?? 'https://localhost:8443', secure: false, changeOrigin: true } },
  },
});
