/** Programs that were released, from the history of this repository. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Release {
  readonly version: string;
  /** Full name of the commit that it was built from. */
  readonly commit: string;
}

export const root = fileURLToPath(new URL('../../', import.meta.url));
export const releases = JSON.parse(
  readFileSync(new URL('../../test/upgrade/releases.json', import.meta.url), 'utf8'),
) as readonly Release[];

/** What git says, or undefined where there is no git, or no history. */
export function git(...words: string[]): string | undefined {
  try {
    return execFileSync('git', words, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })
      .toString('utf8')
      .trim();
  } catch {
    return undefined;
  }
}

/** The value of a test's `skip`: a shallow clone, or a copy of the files alone, has no releases. */
export const skipWithoutHistory = releases.every(({ commit }) => git('cat-file', '-t', commit) === 'commit')
  ? false
  : 'needs the history';

/** Starts a release with those of this program's flags that its own page of settings names. */
const LAUNCHER = `import { readFileSync } from 'node:fs';
const known = readFileSync(new URL('../docs/configuration.md', import.meta.url), 'utf8');
process.argv = process.argv.filter((argument) => {
  const name = /^--(?:no-)?([^=]+)/.exec(argument)?.[1];
  return name === undefined || known.includes('--' + name);
});
await import('./kvorum.ts');
export {};
`;

/** The files of a release, with the modules of this program, which it can be run with. */
export class ReleasedProgram {
  readonly folder: string;

  constructor(version: string) {
    const { commit } = releases.find((release) => release.version === version)!;
    this.folder = mkdtempSync(join(tmpdir(), `kvorum-${version}-`));
    const archive = execFileSync('git', ['archive', commit], { cwd: root, maxBuffer: 256 * 1024 * 1024 });
    execFileSync('tar', ['-x', '-C', this.folder], { input: archive });
    symlinkSync(join(root, 'node_modules'), join(this.folder, 'node_modules'));
    writeFileSync(this.script, LAUNCHER);
  }

  /** What `NodeProcessOptions.script` takes. */
  get script(): string {
    return join(this.folder, 'cmd', 'released.ts');
  }

  /** Where a file of it is. */
  path(name: string): string {
    return join(this.folder, name);
  }

  /** Where a file of it is, for a dynamic import. */
  url(path: string): string {
    return `file://${this.path(path)}`;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}
