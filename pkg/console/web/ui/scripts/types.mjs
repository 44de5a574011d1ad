// Writes src/lib/schema.gen.ts: the box's API as types, from the program itself. A change of the API
// that the page does not follow fails the build.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import openapiTS, { astToString } from 'openapi-typescript';

const document = execFileSync('go', ['run', 'github.com/coraltele/sanchar/appliance/admind', '-openapi'], {
  encoding: 'utf8',
  maxBuffer: 64 << 20,
});
const types = astToString(await openapiTS(JSON.parse(document)));
writeFileSync(new URL('../src/lib/schema.gen.ts', import.meta.url), types);
