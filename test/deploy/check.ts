/**
 * `npm run check:deployment`: what takes too long for every run of the tests. No engine is needed: each step of the Dockerfile runs in a folder,
 * what comes out runs as a container would, and the Debian package is made, looked at by lintian, and installed, with scripts and all.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildPackage } from '../../deploy/debian/build.ts';
import { type Instruction, instructionsOf, type Stage, stagesOf } from './dockerfile.ts';
import { Roots, type RunOptions } from './roots.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const startedMs = performance.now();
const say = (text: string): void =>
  console.log(`${((performance.now() - startedMs) / 1000).toFixed(1).padStart(6)} s  ${text}`);

/** Does what the stages say, in order. @returns the folder of the last one */
function buildImage(roots: Roots, stages: readonly Stage[]): string {
  const built = new Map<string, string>();
  let root = '';
  for (const [at, stage] of stages.entries()) {
    root = roots.add(`stage${at}`, process.execPath);
    if (stage.name !== undefined) built.set(stage.name, root);
    let folder = '/';
    for (const { keyword, flags, text } of stage.instructions) {
      if (keyword === 'WORKDIR') {
        folder = text;
        roots.run(root, ['mkdir', '-p', folder]);
      } else if (keyword === 'COPY') {
        const paths = text.split(' ');
        const to = paths.pop()!;
        for (const path of paths) {
          const from = flags.from === undefined ? join(repository, path) : join(built.get(flags.from)!, path);
          const target = to.endsWith('/') ? join(to, path) : to;
          roots.copy(from, join(root, target.startsWith('/') ? target : join(folder, target)));
        }
      } else if (keyword === 'RUN') {
        say(`RUN ${text}`);
        roots.run(root, ['sh', '-c', text], { folder, environment: npmEnvironment() });
      }
    }
  }
  return root;
}

/** npm finds its registry as it does out here. */
function npmEnvironment(): Record<string, string> {
  const entries = Object.entries(process.env).filter(([name]) =>
    /^(?:npm_config_|NODE_EXTRA_CA|https?_proxy|no_proxy)/i.test(name),
  );
  return Object.fromEntries([['HOME', process.env.HOME ?? '/'], ...entries.map(([name, value]) => [name, value!])]);
}

async function checkImage(roots: Roots): Promise<void> {
  const stages = stagesOf(readFileSync(join(repository, 'deploy/docker/Dockerfile'), 'utf8'));
  const root = buildImage(roots, stages);
  const image = stages.at(-1)!;
  const only = (keyword: string): Instruction => instructionsOf(image, keyword)[0]!;
  const options: RunOptions = {
    user: only('USER').text,
    folder: only('WORKDIR').text,
    environment: Object.fromEntries(
      instructionsOf(image, 'ENV').map(({ text }) => text.split('=') as [string, string]),
    ),
  };
  assert.equal(existsSync(join(root, 'usr/lib/kvorum/node_modules/typescript')), false);
  // As compose.yaml and the manifests run it.
  roots.close(root, ['/var/lib/kvorum']);
  const words = [...only('ENTRYPOINT').words!, ...only('CMD').words!];

  const node = roots.start(root, words, options);
  await node.writes(/is running/);
  assert.match(node.output, /process 1,/, 'no shell stands before the node');
  const status = readFileSync(`/proc/${node.firstProcess}/status`, 'utf8');
  assert.match(status, new RegExp(`^Uid:\\s+${options.user!.split(':')[0]}\\b`, 'm'));
  assert.equal(node.run(only('HEALTHCHECK').words!, options), 0);
  say('the image runs a node as its first process and its user, which answers the health check');
  assert.equal(await node.end('SIGTERM'), 0, node.output);
  say('SIGTERM stops it cleanly');
  const unwell = roots.start(root, ['sleep', 'infinity'], options);
  assert.equal(unwell.run(only('HEALTHCHECK').words!, options), 1);
  await unwell.end('SIGKILL');
  say('the health check fails where no node answers');
}

async function checkPackage(roots: Roots, output: string): Promise<void> {
  execFileSync('npm', ['run', '--silent', 'build'], { cwd: repository, stdio: 'inherit' });
  const sources = { repository, compiled: join(repository, 'dist'), node: process.execPath };
  const path = buildPackage(sources, output, 'xz', new Date());
  say(`made ${path}`);
  const lintian = spawnSync('lintian', ['--fail-on', 'error,warning', path], { encoding: 'utf8' });
  if (lintian.error !== undefined) throw new Error('lintian is not installed (Debian: apt-get install lintian)');
  assert.equal(lintian.status, 0, lintian.stdout + lintian.stderr);
  say('lintian finds nothing');

  const root = roots.add('debian', process.execPath);
  roots.copy(path, join(root, 'opt/kvorum.deb'));
  roots.run(root, ['dpkg', '--install', '/opt/kvorum.deb'], { environment: { DEBIAN_FRONTEND: 'noninteractive' } });
  assert.match(roots.run(root, ['id', 'kvorum']), /kvorum/);
  assert.match(roots.run(root, ['stat', '-c', '%U:%G %a', '/etc/kvorum']), /^root:kvorum 750$/m);
  roots.run(root, ['kvorum', 'init', '/opt/shop', '127.0.0.1', '--cluster-name', 'shop']);
  roots.run(root, [
    'sh',
    '-c',
    'cp /opt/shop/node1/* /etc/kvorum; chown -R kvorum:kvorum /etc/kvorum; install -d -o kvorum -m 0700 /var/lib/kvorum',
  ]);
  const user = roots.run(root, ['sh', '-c', 'echo "$(id -u kvorum):$(id -g kvorum)"']).trim();
  const service = roots.start(root, ['kvorum', 'server', '--config', '/etc/kvorum/kvorum.yaml'], { user });
  await service.writes(/is running/);
  assert.equal(await service.end('SIGTERM'), 0, service.output);
  say('installed, it runs a node');
  roots.run(root, ['dpkg', '--install', '/opt/kvorum.deb']);
  roots.run(root, ['dpkg', '--purge', 'kvorum']);
  assert.equal(
    roots
      .run(root, ['sh', '-c', 'test ! -e /usr/bin/kvorum && ls /etc/kvorum /var/lib/kvorum'])
      .includes('kvorum.yaml'),
    true,
  );
  say('installed again and purged, it leaves data and keys');
}

const output = mkdtempSync(join(tmpdir(), 'kvorum-check-'));
const roots = new Roots();
try {
  await roots.open();
  await checkPackage(roots, output);
  await checkImage(roots);
  say('all well');
} finally {
  roots.remove();
  rmSync(output, { recursive: true, force: true });
}
