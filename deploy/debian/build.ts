/** Makes the Debian package out of `dist`: `npm run package:deb`, with `-- --output <folder>` for another place than `dist`. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { debianArchitecture, layOut, type PackageSources } from './package-tree.ts';

/** How the contents are packed: small, or at once. */
export type Compression = 'xz' | 'none';

/**
 * Makes a package.
 * @param output the folder that it is put into
 * @returns its path
 * @throws the system's error; what dpkg-deb says goes to the terminal
 */
export function buildPackage(sources: PackageSources, output: string, compression: Compression, date: Date): string {
  const tree = mkdtempSync(join(tmpdir(), 'kvorum-deb-'));
  try {
    const version = layOut(sources, tree, date);
    const path = join(output, `kvorum_${version}_${debianArchitecture()}.deb`);
    execFileSync('dpkg-deb', [`-Z${compression}`, '--root-owner-group', '--build', tree, path], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return path;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { output: { type: 'string' } } });
  const repository = fileURLToPath(new URL('../..', import.meta.url));
  const compiled = join(repository, 'dist');
  const sources = { repository, compiled, node: process.execPath };
  console.log(buildPackage(sources, values.output ?? compiled, 'xz', new Date()));
}
