import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { buildPackage } from '../../deploy/debian/build.ts';
import { debianVersion, runtimePackages } from '../../deploy/debian/package-tree.ts';
import { skipWithout } from '../support/programs.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const DATE = new Date('2026-11-30T12:00:00Z');

describe('the Debian package', { skip: skipWithout('dpkg-deb') }, () => {
  const work = mkdtempSync(join(tmpdir(), 'kvorum-debian-'));
  let path = '';
  let contents: string[] = [];

  before(() => {
    // In the place of the compiled program and its Node, which are large and which this is not about.
    const compiled = join(work, 'dist');
    mkdirSync(join(compiled, 'cmd'), { recursive: true });
    for (const file of ['dist/cmd/kvorum.js', 'dist/cmd/raftadmin.js', 'node']) writeFileSync(join(work, file), '');
    path = buildPackage({ repository, compiled, node: join(work, 'node') }, work, 'none', DATE);
    contents = execFileSync('dpkg-deb', ['--contents', path], { encoding: 'utf8', maxBuffer: 64 * 1024 ** 2 })
      .trim()
      .split('\n');
  });
  after(() => rmSync(work, { recursive: true, force: true }));

  const has = (pattern: RegExp): boolean => contents.some((line) => pattern.test(line));

  test('has the programs, their Node, the service, and the packages of run time', () => {
    assert.ok(has(/^-rwxr-xr-x root\/root .* \.\/usr\/bin\/kvorum$/));
    assert.ok(has(/^-rwxr-xr-x root\/root .* \.\/usr\/lib\/kvorum\/bin\/node$/));
    assert.ok(has(/^-rw-r--r-- root\/root .* \.\/lib\/systemd\/system\/kvorum\.service$/));
    assert.ok(has(/\/usr\/lib\/kvorum\/node_modules\/@grpc\/grpc-js\/package\.json$/));
    assert.ok(has(/\/classic-level\/prebuilds\/linux-/));
  });

  test('has nothing that only tests and other machines need', () => {
    assert.ok(!runtimePackages(repository).includes('node_modules/typescript'));
    assert.ok(!has(/node_modules\/(?:typescript|ioredis|fast-check)\//));
    assert.ok(!has(/prebuilds\/(?:win32|darwin|android)/));
    assert.ok(!has(/\.d\.ts$|\.map$/));
  });

  test('belongs to root, and nobody else can write into it', () => {
    const others = contents.filter(
      (line) => !/^[-dl]r.x?.{1}r.[-x]r.[-x] root\/root /.test(line) && !line.startsWith('l'),
    );
    assert.deepEqual(others, []);
    assert.deepEqual(
      contents.filter((line) => /^.{5}w|^.{8}w/.test(line) && !line.startsWith('l')),
      [],
    );
  });

  test('has scripts that a shell can read, and sums of all its files', () => {
    execFileSync('dpkg-deb', ['--control', path, join(work, 'control')]);
    for (const script of ['postinst', 'prerm', 'postrm']) {
      assert.equal(spawnSync('sh', ['-n', join(work, 'control', script)]).status, 0, script);
    }
    const sums = readFileSync(join(work, 'control/md5sums'), 'utf8').trim().split('\n');
    assert.equal(sums.length, contents.filter((line) => line.startsWith('-')).length);
  });

  test('sorts a version before a release before that release', () => {
    assert.equal(debianVersion('0.2.0-rc.1'), '0.2.0~rc.1');
    const compare = spawnSync('dpkg', ['--compare-versions', '0.2.0~rc.1', 'lt', '0.2.0']);
    assert.equal(compare.status, 0);
  });
});
