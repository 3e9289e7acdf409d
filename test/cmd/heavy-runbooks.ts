/**
 * The runbooks that take longer than a merge has time for, word for word: `npm run test:runbooks`. Each starts the nodes that its page
 * speaks of, writes what can be counted, breaks what its page is about, runs the page, and counts.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import {
  closeSync,
  fsyncSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { connect } from 'node:tls';
import { ReleasedProgram, skipWithoutHistory } from '../../jepsen/cluster/releases.ts';
import { AdminClient } from '../../src/adapter/grpc/index.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { PageNodes, type PageNodesOptions } from './page-nodes.ts';
import { namedBlocks } from './runbooks.ts';

const PRELOAD = new URL('../../jepsen/cluster/preload.ts', import.meta.url).href;
const KEYS = 500;
const MIB = 1024 ** 2;
const DISK_MIB = 1_600;
const CALL_MS = 5_000;
/** What is asserted is that it comes to pass, on a machine that does much else. */
const PATIENCE_MS = 180_000;

/** Settles once something is so. */
const comes = (what: string, condition: () => boolean | Promise<boolean>): Promise<void> =>
  until(what, condition, PATIENCE_MS);

const succeeds = (work: Promise<unknown>): Promise<boolean> =>
  work.then(
    () => true,
    () => false,
  );

/** One runbook with its nodes. */
class Case {
  readonly nodes: PageNodes;

  constructor(nodes: PageNodes) {
    this.nodes = nodes;
  }

  /** Runs blocks; nodes that they start need only listen. */
  run(part: string): Promise<void> {
    return this.nodes.shell.run(part, this.nodes.listening);
  }

  /** Runs blocks whose nodes have to serve before the next step. */
  runReady(part: string): Promise<void> {
    return this.nodes.shell.run(part, this.nodes.ready);
  }

  /** Runs blocks whose nodes are a cluster only together. */
  found(part: string, nodeIds: readonly number[]): Promise<void> {
    return this.nodes.found(part, nodeIds);
  }

  /** Writes keys through a node, each until it is acknowledged. */
  async write(nodeId: number, name: string): Promise<void> {
    const client = this.nodes.client(nodeId);
    for (let key = 0; key < KEYS; key++) {
      await comes(`${name}:${key} is acknowledged`, () => succeeds(client.set(`${name}:${key}`, `${name} ${key}`)));
    }
  }

  /** Everything that was written under a name is there, through each of these nodes. */
  async assertHas(nodeIds: readonly number[], name: string): Promise<void> {
    const keys = Array.from({ length: KEYS }, (_, key) => `${name}:${key}`);
    for (const nodeId of nodeIds) {
      const client = this.nodes.client(nodeId);
      let values: (string | null)[] | undefined;
      await comes(`node ${nodeId} answers`, async () => {
        values = await client.mget(keys).catch(() => undefined);
        return values !== undefined;
      });
      assert.deepEqual(
        values,
        keys.map((_, key) => `${name} ${key}`),
        `through node ${nodeId}`,
      );
    }
  }

  async assertVoters(asked: number, nodeIds: readonly number[]): Promise<void> {
    const { groups } = await this.nodes.ask(asked, 'Members', { groups: [] });
    for (const { problem, members } of groups) {
      assert.deepEqual(
        [problem, members.map(({ nodeId, suffrage }) => [nodeId, suffrage])],
        ['', nodeIds.map((nodeId) => [nodeId, 'voter'])],
      );
    }
  }

  /** Every group has a leader and is served, whatever else there is to say. */
  async served(asked: number): Promise<void> {
    await comes('everything is served', () =>
      this.nodes.ask(asked, 'Health', {}).then(
        ({ isHealthy }) => isHealthy,
        () => false,
      ),
    );
  }

  kill(nodeId: number): Promise<void> {
    return this.nodes.shell.end(nodeId, 'SIGKILL');
  }

  /** What the commands of the page have printed so far. */
  get said(): string {
    return this.nodes.shell.transcript.join('\n');
  }
}

async function withNodes(options: PageNodesOptions, work: (runbook: Case) => Promise<void>): Promise<void> {
  const nodes = await PageNodes.open(options);
  const runbook = new Case(nodes);
  try {
    await work(runbook);
  } catch (error) {
    console.error(runbook.said.slice(-20_000));
    throw error;
  } finally {
    await nodes.stop();
  }
}

const THREE = [1, 2, 3];

async function lostQuorum(): Promise<void> {
  await withNodes({ count: 5 }, async (runbook) => {
    await runbook.found('three nodes', THREE);
    await runbook.write(1, 'before');
    await Promise.all([runbook.kill(2), runbook.kill(3)]);
    await assert.rejects(runbook.nodes.client(1).set('a', '1'));
    await runbook.run('lost quorum');
    await runbook.assertVoters(1, [1, 4, 5]);
    await Promise.all([1, 4, 5].map(runbook.nodes.ready));
    await runbook.assertHas([1, 4, 5], 'before');
    await runbook.kill(1);
    await runbook.write(4, 'after');
  });
}

async function lostDisk(): Promise<void> {
  await withNodes({ count: 3 }, async (runbook) => {
    await runbook.found('three nodes', THREE);
    await runbook.write(1, 'before');
    await runbook.kill(3);
    renameSync(join(runbook.nodes.folder, 'n3'), join(runbook.nodes.folder, 'dead'));
    await runbook.write(1, 'meanwhile');
    await runbook.served(1);
    await runbook.run('lost disk');
    await runbook.nodes.ready(3);
    await runbook.assertVoters(3, THREE);
    for (const name of ['before', 'meanwhile']) await runbook.assertHas(THREE, name);
    await runbook.kill(1);
    await runbook.write(3, 'after');
  });
}

async function lostZone(): Promise<void> {
  await withNodes({ count: 7 }, async (runbook) => {
    await runbook.found('lost zone, before', [1, 2, 3, 4, 5]);
    await runbook.write(1, 'before');
    await Promise.all([runbook.kill(4), runbook.kill(5)]);
    await runbook.write(1, 'meanwhile');
    await runbook.served(1);
    await runbook.run('lost zone');
    await Promise.all([6, 7].map(runbook.nodes.ready));
    await runbook.assertVoters(6, [1, 2, 3, 6, 7]);
    for (const name of ['before', 'meanwhile']) await runbook.assertHas([1, 6, 7], name);
    await Promise.all([runbook.kill(1), runbook.kill(2)]);
    await runbook.write(3, 'after');
  });
}

async function clockOff(): Promise<void> {
  const control = (folder: string): string => join(folder, 'clock-of-node-3');
  let folder = '';
  const set = (clockOffsetMs: number): void => {
    writeFileSync(`${control(folder)}.new`, JSON.stringify({ clockOffsetMs, diskFault: null }));
    renameSync(`${control(folder)}.new`, control(folder));
  };
  const environmentOf = (nodeId: number): Record<string, string> =>
    nodeId === 3 ? { NODE_OPTIONS: `--import=${PRELOAD}`, KVORUM_FAULT_CONTROL: control(folder) } : {};
  await withNodes({ count: 3, environmentOf }, async (runbook) => {
    folder = runbook.nodes.folder;
    set(0);
    // What sets the clock of that machine.
    const right = JSON.stringify({ clockOffsetMs: 0, diskFault: null });
    runbook.nodes.shell.install('chronyc', `[ "$1" = makestep ] && echo '${right}' >'${control(folder)}'`);
    await runbook.found('three nodes', THREE);
    set(60_000);
    const isOff = async (): Promise<boolean> => {
      const { nodes } = await runbook.nodes.ask(1, 'Status', { groups: [] });
      return nodes.find(({ nodeId }) => nodeId === 3)?.isClockOff === true;
    };
    await comes('the node is known to be off', isOff);
    await runbook.run('clock off');
    assert.match(runbook.said, /node 3.*its clock is/);
    await comes('the node is right again', async () => !(await isOff()));
    const before = runbook.nodes.shell.transcript.length;
    await runbook.run('clock off, after');
    assert.doesNotMatch(runbook.nodes.shell.transcript.slice(before).join('\n'), /its clock is/);
    await runbook.write(3, 'after');
  });
}

async function restore(): Promise<void> {
  await withNodes({ count: 3 }, async (runbook) => {
    await runbook.found('three nodes', THREE);
    await runbook.write(1, 'before');
    await runbook.run('restore, before');
    await runbook.write(1, 'too late');
    await Promise.all(THREE.map((nodeId) => runbook.nodes.shell.end(nodeId, 'SIGTERM')));
    await runbook.found('restore', THREE);
    await runbook.run('restore, after');
    await runbook.assertHas(THREE, 'before');
    assert.equal(await runbook.nodes.client(2).get('too late:0'), null);
    await runbook.assertVoters(1, THREE);
    await runbook.write(2, 'after');
  });
}

async function upgrade(): Promise<void> {
  const released = new ReleasedProgram('0.1.0');
  try {
    await withNodes({ count: 3 }, async (runbook) => {
      const { shell, client } = { shell: runbook.nodes.shell, client: () => runbook.nodes.client(1) };
      const present = readFileSync(join(runbook.nodes.folder, 'bin', 'kvorum'), 'utf8');
      shell.installScript('kvorum', released.script);
      await runbook.found('three nodes', THREE);
      await runbook.write(1, 'before');
      await runbook.run('upgrade');
      writeFileSync(join(runbook.nodes.folder, 'bin', 'kvorum'), present);
      await runbook.runReady('upgrade, programs are installed');
      await runbook.assertHas(THREE, 'before');
      await assert.rejects(client().hset('hash', 'field', 'value'), /not every node|cannot be used/);
      await runbook.run('upgrade, for good');
      await comes('new types are there', () => succeeds(client().hset('hash', 'field', 'value')));
      await runbook.write(3, 'after');
    });
  } finally {
    released.remove();
  }
}

/** What a node and a caller prove themselves with. */
interface Shown {
  readonly ca: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

async function certificates(): Promise<void> {
  await withNodes({ count: 3 }, async (runbook) => {
    const { nodes } = runbook;
    const { folder, shell } = nodes;
    const holderOf = (name: string, file: string): Shown => {
      const read = (end: string): Buffer => readFileSync(join(folder, 'shop', name, end));
      return { ca: read('ca.pem'), cert: read(`${file}.pem`), key: read(`${file}.key`) };
    };
    const boss = (): Shown => holderOf('boss', 'client');
    const isLetIn = async (nodeId: number, shown: Shown): Promise<boolean> => {
      const client = new AdminClient(`127.0.0.1:${nodes.grpcPort(nodeId)}`, shown);
      try {
        return await succeeds(client.call('Health', {}, CALL_MS));
      } finally {
        client.close();
      }
    };
    /** Who a node says it is. */
    const shownBy = (nodeId: number, { ca, cert, key }: Shown): Promise<string | undefined> =>
      new Promise((resolve) => {
        const port = nodes.grpcPort(nodeId);
        const socket = connect({ port, ca, cert, key, ALPNProtocols: ['h2'], rejectUnauthorized: false }, () => {
          resolve(socket.getPeerX509Certificate()?.fingerprint256);
          socket.destroy();
        });
        socket.once('error', () => resolve(undefined));
      });
    const hup = (): void => {
      for (const nodeId of THREE)
        process.kill(Number(readFileSync(join(folder, `n${nodeId}`, 'pid'), 'utf8')), 'SIGHUP');
    };
    /** Every node shows what was put in its folder. */
    const areShown = async (): Promise<void> => {
      hup();
      for (const nodeId of THREE) {
        const { cert } = holderOf(`node${nodeId}`, 'node');
        const expected = new X509Certificate(cert).fingerprint256;
        await comes(`node ${nodeId} shows its new one`, async () => (await shownBy(nodeId, boss())) === expected);
      }
    };
    const areLetIn = async (shown: Shown, isWanted: boolean): Promise<void> => {
      hup();
      for (const nodeId of THREE)
        await comes(`node ${nodeId} lets ${isWanted ? 'the new' : 'nobody of the old'} authority in`, async () => {
          return (await isLetIn(nodeId, shown)) === isWanted;
        });
    };
    await runbook.found('certificates, before', THREE);
    await runbook.write(1, 'before');
    await runbook.run('certificates, renew');
    await areShown();
    const old = boss();
    await areLetIn(old, true);
    await runbook.run('certificates, new authority');
    await shell.runBlock('kvorum certs client shop probe --role admin\n', nodes.ready);
    await areLetIn(holderOf('probe', 'client'), true);
    await areLetIn(old, true);
    await runbook.run('certificates, new certificates');
    await areShown();
    await runbook.run('certificates, old authority');
    await areLetIn(old, false);
    const [, start] = namedBlocks().filter(({ name }) => name === 'certificates, before');
    const starts = start!.text.replaceAll('\\\n', ' ').split('\n');
    for (const nodeId of THREE) {
      await shell.end(nodeId, 'SIGTERM');
      await shell.runBlock(starts.find((line) => line.includes(`--node-id ${nodeId} `))!, nodes.ready);
    }
    await runbook.assertHas(THREE, 'before');
    await runbook.write(2, 'after');
  });
}

async function keyOfWhatIsStored(): Promise<void> {
  // What has come to pass is said at this level.
  const environmentOf = (): Record<string, string> => ({ KVORUM_LOG_LEVEL: 'info' });
  await withNodes({ count: 1, environmentOf }, async (runbook) => {
    const { nodes } = runbook;
    const keyFile = join(nodes.folder, 'etc', 'storage.key');
    const keys = (): string[] => readFileSync(keyFile, 'utf8').trim().split('\n');
    const lines = (): string => nodes.shell.transcript.filter((line) => line.startsWith('n1 |')).join('\n');
    const start = namedBlocks().filter(({ name }) => name === 'key of what is stored, before')[1]!.text;
    await runbook.runReady('key of what is stored, before');
    await runbook.write(1, 'before');
    const [old] = keys();
    await runbook.run('key of what is stored');
    assert.deepEqual([keys().length, keys()[1]], [2, old]);
    process.kill(Number(readFileSync(join(nodes.folder, 'n1', 'pid'), 'utf8')), 'SIGHUP');
    await comes('everything is encrypted under the new key', () =>
      /everything is encrypted anew[\s\S]*is encrypted under the newest data key/.test(lines()),
    );
    await runbook.run('key of what is stored, is settled');
    assert.equal(keys().length, 1);
    assert.notEqual(keys()[0], old);
    // Started with the new key alone it has everything; with the old one alone nothing happens.
    const own = readFileSync(keyFile);
    await nodes.shell.end(1, 'SIGTERM');
    writeFileSync(keyFile, `${old}\n`);
    const found = readdirSync(join(nodes.folder, 'n1')).sort();
    await nodes.shell.runBlock(start, () => comes('the node ends', () => !nodes.shell.isRunning(1)));
    assert.match(runbook.said, /needs key \w+, and the keys that are given/);
    assert.deepEqual(readdirSync(join(nodes.folder, 'n1')).sort(), found);
    writeFileSync(keyFile, own);
    await nodes.shell.runBlock(start, nodes.ready);
    await runbook.assertHas([1], 'before');
    await runbook.write(1, 'after');
  });
}

/** A small file system of its own; undefined where nobody lets us have one. */
function mountSmallDisk(): string | undefined {
  const folder = mkdtempSync(join(tmpdir(), 'kvorum-disk-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${DISK_MIB}m`, 'tmpfs', folder], { stdio: 'ignore' });
    return folder;
  } catch {
    rmSync(folder, { recursive: true, force: true });
    return undefined;
  }
}

/** Takes up the disk until so much is left. */
function fill(folder: string, leaveBytes: number): void {
  const file = openSync(join(folder, 'somebody-elses'), 'a');
  const piece = Buffer.alloc(MIB, 1);
  for (;;) {
    const { bavail, bsize } = statfsSync(folder);
    const room = bavail * bsize - leaveBytes;
    if (room <= 0) break;
    writeSync(file, piece, 0, Math.min(piece.length, room));
  }
  fsyncSync(file);
  closeSync(file);
}

async function fullDisk(folder: string): Promise<void> {
  try {
    await withNodes({ count: 3, folder }, async (runbook) => {
      await runbook.found('three nodes', THREE);
      await runbook.run('full disk, before');
      await runbook.write(1, 'before');
      fill(folder, 60 * MIB);
      const client = runbook.nodes.client(1);
      const isTaken = (): Promise<boolean> => succeeds(client.set('probe', 'x'));
      await comes('writes are refused', async () => !(await isTaken()));
      await runbook.assertHas(THREE, 'before');
      await runbook.run('full disk');
      await comes('writes are taken again', isTaken);
      // More room, as the page says in words.
      rmSync(join(folder, 'somebody-elses'));
      await runbook.run('full disk, after');
      await runbook.write(2, 'after');
    });
  } finally {
    execFileSync('umount', ['-l', folder]);
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Declares them. */
function heavyRunbooks(): void {
  describe('runbooks that take longer, word for word', { skip: skipWithout('bash') }, () => {
    test('a lost quorum', lostQuorum);
    test('a lost disk', lostDisk);
    test('a lost zone', lostZone);
    test('a clock that is off', clockOff);
    test('restore', restore);
    test('the key of what is stored', { skip: skipWithout('openssl') || skipWithout('curl') }, keyOfWhatIsStored);
    test('certificates and their authority', certificates);
    test('upgrade from release 0.1.0', { skip: skipWithoutHistory }, upgrade);
    test('a full disk', async (t) => {
      const folder = mountSmallDisk();
      if (folder === undefined) t.skip('this user may not mount a file system (root of a machine may)');
      else await fullDisk(folder);
    });
  });
}

heavyRunbooks();
