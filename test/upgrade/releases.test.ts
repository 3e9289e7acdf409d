import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { git, releases, root, skipWithoutHistory } from '../../jepsen/cluster/releases.ts';

describe('the releases', () => {
  test('are in the changelog with their days', () => {
    const changelog = readFileSync(`${root}CHANGELOG.md`, 'utf8');
    for (const { version } of releases)
      assert.match(changelog, new RegExp(`^## ${version}, \\d{4}-\\d\\d-\\d\\d$`, 'm'));
  });

  test('are commits of this history that say their version', { skip: skipWithoutHistory }, () => {
    for (const { version, commit } of releases) {
      assert.equal(git('merge-base', commit, 'HEAD'), commit, `${version} is an ancestor`);
      const manifest = git('show', `${commit}:package.json`);
      assert.ok(manifest !== undefined, version);
      assert.equal((JSON.parse(manifest) as { readonly version: string }).version, version);
    }
  });
});
