import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';

interface Release {
  readonly version: string;
  /** Full name of the commit that it was built from. */
  readonly commit: string;
}

const root = fileURLToPath(new URL('../../', import.meta.url));
const releases = JSON.parse(readFileSync(new URL('releases.json', import.meta.url), 'utf8')) as readonly Release[];

/** What git says, or undefined where there is no git, or no history. */
function git(...words: string[]): string | undefined {
  try {
    return execFileSync('git', words, { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] })
      .toString('utf8')
      .trim();
  } catch {
    return undefined;
  }
}

/** A shallow clone, or a copy of the files alone, cannot tell. */
const hasHistory = releases.every(({ commit }) => git('cat-file', '-t', commit) === 'commit');

describe('the releases', () => {
  test('are in the changelog with their days', () => {
    const changelog = readFileSync(`${root}CHANGELOG.md`, 'utf8');
    for (const { version } of releases)
      assert.match(changelog, new RegExp(`^## ${version}, \\d{4}-\\d\\d-\\d\\d$`, 'm'));
  });

  test('are commits of this history that say their version', { skip: hasHistory ? false : 'needs the history' }, () => {
    for (const { version, commit } of releases) {
      assert.equal(git('merge-base', commit, 'HEAD'), commit, `${version} is an ancestor`);
      const manifest = git('show', `${commit}:package.json`);
      assert.ok(manifest !== undefined, version);
      assert.equal((JSON.parse(manifest) as { readonly version: string }).version, version);
    }
  });
});
