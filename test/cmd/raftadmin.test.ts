import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { type AddressInfo, createServer } from 'node:net';
import { after, before, beforeEach, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import grpc from '@grpc/grpc-js';
import fc from 'fast-check';
import { formatKey, parseKey } from '../../cmd/raftadmin/keys.ts';
import { createProgram } from '../../cmd/raftadmin/program.ts';
import { formatBytes, formatDuration } from '../../cmd/raftadmin/values.ts';
import { KEYSPACES } from '../../src/adapter/redis/keys/keyspace.ts';
import { AdminError } from '../../src/cluster/contract/admin-errors.ts';
import { CatalogError } from '../../src/distribution/contract/errors.ts';
import { KeyTextError } from '../../src/distribution/keyspaces.ts';
import { groupId } from '../../src/platform/index.ts';
import { FakeBackend, job, members, ROUTES, STATUS, slot } from '../adapter/grpc/fake-backend.ts';
import { skipWithout } from '../support/programs.ts';
import { until } from '../support/until.ts';
import { Node, type Outcome, run } from './raftadmin-bed.ts';

const PROGRAM = fileURLToPath(new URL('../../cmd/raftadmin.ts', import.meta.url));

/** A port that refuses connections. */
async function closedPort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}

describe('raftadmin', () => {
  const [node, other] = [new Node(), new Node()];
  before(() => Promise.all([node.start(), other.start()]));
  after(() => {
    node.server.forceShutdown();
    other.server.forceShutdown();
  });
  beforeEach(() => {
    node.backend = new FakeBackend();
    other.backend = new FakeBackend();
  });
  const admin = (args: string, terminal?: Parameters<typeof run>[1]): Promise<Outcome> =>
    run(['-e', node.endpoint, ...args.split(' ')], terminal);
  const lastCall = (): unknown => node.backend.calls.at(-1);

  test('status is a table of replicas, with who does not answer beside it', async () => {
    const { code, out, err } = await admin('status 1 2');
    assert.equal(code, 0);
    const lines = out.trimEnd().split('\n');
    assert.match(
      lines[0]!,
      /^group {2}node {2}address +role +term {2}commit {2}applied {2}lag +lease {2}hlc ceiling +size$/,
    );
    assert.match(
      lines[2]!,
      /^ +1 +2 {2}10\.0\.0\.2:50051 {2}leader +7 +1000 +998 +0 {2}641 ms {2}2023-11-14 22:13:20Z {2}1\.5 MiB$/,
    );
    assert.equal(lines.length, 4);
    assert.equal(err, 'node 3 (10.0.0.3:50051) does not answer: the stream to node 3 broke: connection refused\n');
    assert.deepEqual(lastCall(), ['status', [1, 2]]);
  });

  test('the same as JSON for programs, and as bare columns for shell scripts', async () => {
    assert.deepEqual(JSON.parse((await admin('status -w json')).out), STATUS);
    const simple = (await admin('-w simple status')).out.split('\n');
    assert.deepEqual(simple[1]!.split('\t').slice(0, 6), ['1', '2', '10.0.0.2:50051', 'leader', '7', '1000']);
  });

  test('health ends with 1 only when something is not served', async () => {
    assert.deepEqual(await admin('health'), { code: 0, out: 'healthy: 2 groups on 3 nodes\n', err: '' });
    const problems = [{ severity: 'warning' as const, subject: 'node 3', message: 'it does not answer' }];
    node.backend.healthReport = { ...node.backend.healthReport, problems };
    assert.equal((await admin('health')).code, 0);
    const critical = [{ severity: 'critical' as const, subject: 'group 2', message: 'it has no leader now' }];
    node.backend.healthReport = { ...node.backend.healthReport, isHealthy: false, problems: critical };
    // Who waits for nothing to be wrong is told what still is.
    const impatient = await admin('health --wait --wait-timeout 1ms');
    assert.equal(impatient.code, 1);
    assert.match(impatient.err, /not done within 0\.0s \(group 2: it has no leader now\)/);
    const { code, out, err } = await admin('health');
    assert.deepEqual([code, err], [1, 'raftadmin: 1 critical problem\n']);
    assert.match(out, /^critical +group 2 +it has no leader now$/m);
  });

  test('nodes, members and groups are lists', async () => {
    assert.match(
      (await admin('nodes')).out,
      /^ +2 {2}10\.0\.0\.2:50051 {2}alive {2}serving {2}0\.4s ago +2 +3 {2}4\.0 KiB {2}zone=a +00112233$/m,
    );
    assert.match(
      (await admin('members')).out,
      /^ +1 +4 {2}10\.0\.0\.4:50051 {2}learner +replicate {2}yes +7500 {2}2500$/m,
    );
    assert.match((await admin('groups list')).out, /^ +2 {2}ACTIVE +2 +2 {2}1,2,3 +256\+ {2}2023-11-14 22:13:20Z$/m);
  });

  test('members of a group without a leader are a failure that says so', async () => {
    node.backend.members = async () => [{ ...members(0), members: [], problem: 'no leader could be reached in time' }];
    const { code, err } = await admin('members 1');
    assert.equal(code, 1);
    assert.match(err, /^group 1: no leader could be reached in time$/m);
  });

  test('membership commands say what is so afterwards', async () => {
    assert.equal(
      (await admin('add_learner 1 4 10.0.0.4:50051')).out,
      'node 4 is a learner of group 1; its voters are 1, 2\n',
    );
    assert.deepEqual(lastCall(), ['addLearner', 1, 4, '10.0.0.4:50051']);
    node.backend.promote = async () => ({ changed: false, group: members(0), note: 'start it' });
    const again = await admin('promote 1 4');
    assert.equal(again.out, 'node 4 is a voter of group 1 already; its voters are 1, 2\n');
    assert.equal(again.err, 'start it\n');
    assert.equal((await admin('transfer_leader 1')).out, 'leadership of group 1 went from node 2 to node 1\n');
    assert.equal((await admin('transfer-leader 1 3 -w json')).out.includes('"to": 3'), true);
  });

  test('a group that nobody has is no empty table', async () => {
    const { code, err } = await admin('status 1 77');
    assert.equal(code, 1);
    assert.match(err, /^raftadmin: no node that answers has a replica of group 77$/m);
    node.backend.failures.set('status', [new AdminError('GROUP_NOT_FOUND', 'there is no group 77; there are 1, 2')]);
    assert.deepEqual(await admin('status 77'), {
      code: 1,
      out: '',
      err: 'raftadmin: there is no group 77; there are 1, 2 [GROUP_NOT_FOUND]\n',
    });
  });

  test('a learner that does not answer is said, and is a failure', async () => {
    const note = 'node 4 did not open its replica of group 1 yet (nobody is there); start it and add it again';
    node.backend.addLearner = async () => ({ changed: true, group: members(0), note });
    assert.deepEqual(await admin('add_learner 1 4 10.0.0.4:1'), {
      code: 1,
      out: 'node 4 is a learner of group 1; its voters are 1, 2\n',
      err: `raftadmin: ${note}\n`,
    });
  });

  test('failures are JSON where the output is', async () => {
    const refused = { code: 'GROUP_NOT_FOUND', message: 'there is no group 77; there are 1, 2', exitCode: 1 };
    for (const flag of ['-w json', '-wjson', '--write-out json', '--write-out=json']) {
      node.backend.failures.set('status', [new AdminError('GROUP_NOT_FOUND', refused.message)]);
      const { code, out, err } = await admin(`status 77 ${flag}`);
      assert.deepEqual([code, out, JSON.parse(err)], [1, '', { error: refused }]);
    }
    const usage = await admin('-w json status --nonsense');
    assert.deepEqual([usage.code, usage.out], [2, '']);
    assert.deepEqual(JSON.parse(usage.err), {
      error: { code: 'USAGE', message: "unknown option '--nonsense'", exitCode: 2 },
    });
    const silent = await run(['-e', `127.0.0.1:${await closedPort()}`, '-w', 'json', 'status']);
    assert.equal(silent.code, 3);
    assert.equal(JSON.parse(silent.err).error.code, 'UNREACHABLE');
    const asked = await admin('remove 1 3 -w json');
    assert.deepEqual([asked.code, JSON.parse(asked.err).error.code], [2, 'USAGE']);
    const wrong = await admin('health -w json', { env: null as never });
    assert.equal(JSON.parse(wrong.err).error.code, 'FAILED');
    assert.match(JSON.parse(wrong.err).error.message, /^unexpected error: TypeError/);
  });

  test('remarks are JSON lines where the output is JSON', async () => {
    const { code, err } = await admin('status -w json');
    assert.equal(code, 0);
    assert.deepEqual(JSON.parse(err), {
      note: 'node 3 (10.0.0.3:50051) does not answer: the stream to node 3 broke: connection refused',
    });
  });

  test('promote --wait shows how far the learner is until the leader takes it', async () => {
    const behind = (lag: number) => new AdminError('LEARNER_BEHIND', `learner 4 is ${lag} entries behind`);
    node.backend.failures.set('promote', [behind(2_500), behind(1_200)]);
    const { code, out, err } = await admin('promote 1 4 --wait', { isErrorScreen: true });
    assert.equal(code, 0);
    assert.match(out, /^node 4 is a voter of group 1/);
    assert.match(err, /node 4 \[#{18}\.{6}\] 75 %, 2,500 entries behind/);
    assert.ok(err.includes('\r\x1b[K'), 'drawn over itself');
    assert.equal(node.backend.calls.filter(([method]) => method === 'promote').length, 3);
  });

  test('promote without --wait, or with one that is too short, tells the refusal', async () => {
    const behind = () => new AdminError('LEARNER_BEHIND', 'learner 4 is 2,500 entries behind; promote it later');
    node.backend.failures.set('promote', [behind()]);
    assert.deepEqual(await admin('promote 1 4'), {
      code: 1,
      out: '',
      err: 'raftadmin: learner 4 is 2,500 entries behind; promote it later [LEARNER_BEHIND]\n',
    });
    node.backend.failures.set('promote', [behind(), behind()]);
    const { code, err } = await admin('promote 1 4 --wait --wait-timeout 1ms');
    assert.equal(code, 1);
    assert.match(err, /not caught up within 0\.0s: learner 4/);
  });

  test('what cannot be undone is not done until somebody agrees', async () => {
    for (const [command, method] of [
      ['remove 1 3', 'removeMember'],
      ['groups remove 7', 'removeGroup'],
      ['features activate ranges.move', 'activateFeature'],
    ] as const) {
      const unasked = await admin(command);
      assert.equal(unasked.code, 2);
      assert.match(unasked.err, / Say --yes to do it\n$/);
      const questions: string[] = [];
      const ask = (answer: string) => async (text: string) => {
        questions.push(text);
        return answer;
      };
      const declined = await admin(command, { isInteractive: true, ask: ask('n') });
      assert.deepEqual([declined.code, declined.err], [1, 'raftadmin: nothing was done\n']);
      assert.match(questions[0]!, /will .* Go on\? \[y\/N\] $/);
      assert.equal(node.backend.calls.length, 0, `${command} was not sent`);
      assert.equal((await admin(command, { isInteractive: true, ask: ask('y') })).code, 0);
      assert.equal((await admin(`${command} --yes`)).code, 0);
      assert.deepEqual(
        node.backend.calls.map(([name]) => name),
        [method, method],
      );
      node.backend = new FakeBackend();
    }
  });

  test('groups are created on the nodes that are named', async () => {
    const made = await admin('groups create 1,2,3 --preferred-leader 2 --id 9');
    assert.equal(made.out, 'group 2 was created on nodes 1, 2, 3\n');
    const name = /request ([0-9a-f]{32})/.exec(made.err)?.[1];
    assert.deepEqual(lastCall(), ['createGroup', 9, [1, 2, 3], 2, name]);
    await admin(`groups create 1,2,3 --request-id ${name}`);
    assert.deepEqual(lastCall(), ['createGroup', undefined, [1, 2, 3], undefined, name], 'it can be said again');
    assert.equal((await admin('groups create 1 --request-id 12')).code, 2);
    assert.equal((await admin('groups create 1,x')).code, 2);
  });

  test('routes list shows the directory with keys as they are typed', async () => {
    const { out } = await admin('routes list --group 2 --limit 5 --start slot:0/1 --end hex:ff');
    assert.deepEqual(out.split('\n').slice(0, 5), [
      'route  start        end          group  state   job  version',
      '    1  -inf         slot:8192        1  ACTIVE    -        4',
      '    3  slot:8192    s\\\\\\x20\\xff      2  ACTIVE    -        4',
      '    4  s\\\\\\x20\\xff  +inf             1  ACTIVE    -        4',
      'version 4, 3 routes',
    ]);
    assert.deepEqual(lastCall(), ['routes', { start: slot(0, 1), end: Buffer.from([0xff]), groupId: 2, limit: 5 }]);
    const json = JSON.parse((await admin('routes list -w json')).out) as {
      version: number;
      routes: { start: string }[];
    };
    assert.equal(json.version, 4);
    assert.deepEqual(
      json.routes.map(({ start }) => parseKey(start)),
      ROUTES.map(({ start }) => start),
    );
  });

  test('splits and merges name keys in every way, and a version when they must', async () => {
    assert.equal((await admin('routes split slot:8192')).out, 'split at slot:8192: routes 6 and 7, version 5\n');
    assert.deepEqual(lastCall(), ['split', slot(8192), undefined]);
    await run(['-e', node.endpoint, 'routes', 'split', 'a\\x00\\\\é', '--at-version', '4']);
    assert.deepEqual(lastCall(), ['split', Buffer.from('a\0\\é'), 4]);
    assert.equal((await admin('routes merge hex:7200')).out, 'merged into route 8, version 6\n');
    assert.deepEqual(lastCall(), ['merge', Buffer.from([0x72, 0]), undefined]);
  });

  test('a merge across groups tells its job', async () => {
    const { out } = await admin('routes merge x');
    assert.match(out, /^job \d+ moves route \d+ from group \d+ to group \d+ and merges it with route 8 there\n$/);
    const json = JSON.parse((await admin('routes merge x -w json')).out) as { job: { mergeWith: number } };
    assert.equal(json.job.mergeWith, 8);
  });

  test('a batch takes keys, or cuts the slots evenly, and tells its id in case the answer is lost', async () => {
    const keys = await admin('routes batch_split slot:1 slot:2');
    assert.equal(keys.out, '2 cuts in version 5: 3 routes\n');
    const id = /^batch ([0-9a-f]{32})$/m.exec(keys.err)![1]!;
    assert.deepEqual(lastCall(), ['batchSplit', [slot(1), slot(2)], Buffer.from(id, 'hex'), undefined]);
    await admin(`routes batch_split --slots 4 --db 3 --batch-id ${id}`);
    assert.deepEqual(lastCall(), [
      'batchSplit',
      [slot(4096, 3), slot(8192, 3), slot(12288, 3)],
      Buffer.from(id, 'hex'),
      undefined,
    ]);
    for (const wrong of [
      'routes batch_split',
      'routes batch_split slot:1 --slots 4',
      'routes batch_split --batch-id 00',
    ]) {
      assert.equal((await admin(wrong)).code, 2, wrong);
    }
  });

  test('a move is begun, and with --wait followed until the route is there', async () => {
    assert.equal((await admin('routes move slot:8192 2')).out, 'job 17 moves route 3 from group 1 to group 2\n');
    assert.deepEqual(lastCall(), ['move', { key: slot(8192) }, 2, undefined]);
    node.backend.jobPhases = [job('BACKFILL'), job('FENCE'), job('DONE', true)];
    const waited = await admin('routes move id:3 2 --wait');
    assert.deepEqual(
      node.backend.calls.find(([method, ref]) => method === 'move' && 'id' in (ref as object)),
      ['move', { id: 3 }, 2, undefined],
    );
    assert.equal(waited.code, 0);
    assert.equal(waited.out, 'route 3 is in group 2\n');
    assert.match(waited.err, /job 17 BACKFILL\njob 17 FENCE\njob 17 DONE\n/);
  });

  test('a move that is given up, or that takes too long, is a failure that says where it stands', async () => {
    node.backend.jobPhases = [{ ...job('ABORTED', true), lastError: 'group 2 has no leader' }];
    const aborted = await admin('routes move slot:1 2 --wait');
    assert.equal(aborted.code, 1);
    assert.match(aborted.err, /job 17 was given up and route 3 is still in group 1: group 2 has no leader\n$/);
    node.backend.jobPhases = [job('BACKFILL')];
    const slow = await admin('routes move slot:1 2 --wait --wait-timeout 1ms');
    assert.equal(slow.code, 1);
    assert.match(slow.err, /job 17 is in BACKFILL after 0\.\ds and goes on/);
  });

  test('jobs are listed and given up', async () => {
    assert.match(
      (await admin('routes jobs')).out,
      /^ +17 +3 {2}slot:8192 {2}\+inf +1 +2 {2}BACKFILL +1 {2}2\.5s {2}-$/m,
    );
    assert.deepEqual(lastCall(), ['jobs', 0, 20]);
    assert.equal((await admin('routes abort 17')).out, 'job 17 is being given up; route 3 stays in group 1\n');
    node.backend.jobPhases = [];
    assert.match((await admin('routes jobs 99')).err, /there is no job 99/);
  });

  test('watch tells the routes that there are and then each change, until Ctrl-C', async () => {
    node.backend.changes = [
      { version: 4, incarnation: 9, isSnapshot: true, upserts: ROUTES.slice(0, 2), removed: [], hasMore: true },
      { version: 4, incarnation: 9, isSnapshot: false, upserts: ROUTES.slice(2), removed: [], hasMore: false },
      {
        version: 5,
        incarnation: 9,
        isSnapshot: false,
        upserts: [],
        removed: [{ id: 3, start: slot(1) }],
        hasMore: false,
      },
    ];
    const { code, out } = await admin('routes watch -n 2');
    assert.equal(code, 0);
    assert.match(out, /^version 4 \(snapshot\)\n\+ 1\t-inf\tslot:8192\t1\tACTIVE/);
    assert.match(out, /\nversion 5 \(change\)\n- 3\tslot:1\n$/);
    const lines = (await admin('routes watch -n 2 -w json')).out.trimEnd().split('\n');
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { version: number }).version),
      [4, 4, 5],
    );

    const interrupt = new AbortController();
    const endless = admin('routes watch --only-changes', { interrupted: interrupt.signal });
    await until(() => node.backend.watching > 0);
    interrupt.abort();
    assert.equal((await endless).code, 0);
  });

  test('settings are read and set, and autosplit and balance are words for some of them', async () => {
    assert.match((await admin('settings get')).out, /^autosplit +off +yes +off, observe, on +splits hot ranges$/m);
    assert.equal((await admin('settings get autosplit -w simple')).out.split('\t')[1], 'off');
    assert.match((await admin('settings get nonsense')).err, /there is no setting 'nonsense'/);
    assert.equal((await admin('settings set autosplit on')).out, 'autosplit is on\n');
    await admin('settings set autosplit');
    assert.deepEqual(lastCall(), ['setSetting', 'autosplit', '']);
    assert.equal((await admin('autosplit observe')).out, 'autosplit is observe\n');
    assert.deepEqual(lastCall(), ['setSetting', 'autosplit', 'observe']);
    assert.equal((await admin('autosplit')).out, 'autosplit is off\n');
    assert.equal((await admin('balance on')).out, 'balance.leaders is on\nbalance.size is on\n');
    assert.equal((await admin('balance sideways')).code, 2);
  });

  test('gc shows the safepoint and who holds it back, makes a round, and sets the retention', async () => {
    const { out, err } = await admin('gc');
    assert.match(out, /^ *2 +2023-11-14 21:56:40Z +pending$/m);
    assert.match(out, /^ *1 +1 +1 +1\.0 MiB +4\.0 KiB +12 versions +2023-11-14 22:05:00Z \(backup\)$/m);
    assert.match(err, /safepoint 2023-11-14 22:13:20Z, raised .*kept for 30m00s/);
    assert.match(err, /held back by group 2: a lock/);
    assert.equal(JSON.parse((await admin('gc -w json')).out).retentionMs, 1_800_000);
    assert.match((await admin('gc run')).out, /^the safepoint is 2023-11-14 22:13:20Z/);
    assert.equal((await admin('gc retention')).out, 'the past is kept for 30m00s\n');
    assert.match((await admin('gc retention 10m')).out, /^the past is kept for 10m00s, from the next round on/);
    assert.deepEqual(lastCall(), ['setSetting', 'gc.retentionMs', '600000']);
    assert.equal((await admin('gc retention soon')).code, 2);
  });

  test('balance shows the rules, what they did, and who does background work', async () => {
    const { out } = await admin('balance');
    assert.match(out, /^balance\.leaders +on +12s +idle leaders are even$/m);
    assert.match(out, /^autosplit +observe +acts +range 7 is hot$/m);
    assert.match(
      (await admin('balance log')).out,
      /^2023-11-14 22:13:20Z +autosplit +observed +range 7 would be cut$/m,
    );
    const work = (await admin('work')).out;
    assert.match(work, /^signposts +3 +2023-11-14 22:13:50Z$/m);
    assert.match(work, /^idle +- +-$/m);
  });

  test('features show what stands in their way', async () => {
    assert.match((await admin('features list')).out, /^ranges\.balance +off +- +3 /m);
    assert.match((await admin('features activate ranges.move -y')).out, /^feature ranges\.move is active since 2023/);
  });

  test('top looks again and again and computes rates', async () => {
    const { code, out } = await admin('top -i 1ms -n 2');
    assert.equal(code, 0);
    assert.match(out, /2 of 3 nodes up {2}2 groups/);
    assert.match(out, /^ +1 +2 +7 +- +- +2 +3 {2}1\.5 MiB$/m);
    assert.match(out, /^ +1 +2 +7 +- +0 +2 +3 {2}1\.5 MiB$/m);
    assert.ok((await admin('top -n 1', { isScreen: true })).out.startsWith('\x1b[H\x1b[2J'));
  });

  test('top shows what nodes did between two looks: commands, latency, hot ranges', async () => {
    let commands = 1000;
    const latencyBoundsMs = [1, 5];
    node.backend.status = async () => {
      commands += 100;
      const activity = {
        upMs: 65_000,
        logLevel: 'info',
        clients: 7,
        commands,
        commandErrors: 0,
        latencyBoundsMs,
        latencyCounts: [0.98 * commands, 0.02 * commands, 0],
        hotRanges: [{ routeId: 9, start: slot(5), groupId: groupId(1), readsPerSecond: 10, writesPerSecond: 40 }],
      };
      return { ...STATUS, nodes: STATUS.nodes.map((one, at) => (at === 0 ? { ...one, activity } : one)) };
    };
    const { code, out } = await admin('top --once -i 1ms');
    assert.equal(code, 0);
    assert.match(out, /^ +1 +up +\d+ +\d+ +7 +\S+ +0 +1 ms +5 ms +1m05s$/m);
    assert.match(out, /^ +9 +1 +1 +10 +40 +slot:5$/m);
    assert.equal(out.match(/nodes up/g)?.length, 1);
    const { nodes } = JSON.parse((await admin('top --once -i 1ms -w json')).out);
    assert.ok(nodes[0].commandsPerSecond > 0);
    assert.deepEqual([nodes[0].p50Ms, nodes[0].p99Ms], [1, 5]);
  });

  test('top tells no rate of a node that was started again between two looks', async () => {
    let looks = 0;
    node.backend.status = async () => {
      const [commands, upMs] = looks++ === 0 ? [9_000, 60_000] : [9_500, 1_000];
      const counters = { commands, commandErrors: 0, latencyBoundsMs: [1], latencyCounts: [commands, 0] };
      const activity = { upMs, logLevel: 'info', clients: 1, hotRanges: [], ...counters };
      const nodes = STATUS.nodes.map((one, at) => (at === 0 ? { ...one, activity } : one));
      // It led before, and has counted less since.
      const operations = looks === 1 ? 500 : 20;
      const told = nodes.map((one) => ({ ...one, replicas: one.replicas.map((each) => ({ ...each, operations })) }));
      return { ...STATUS, nodes: told };
    };
    const { out } = await admin('top --once -i 1ms');
    assert.match(out, /^ +1 +up +\d+ +\d+ +1 +- +- +- +- +1\.0s$/m);
    assert.match(out, /^ +1 +2 +7 +- +0 +2 +3 {2}1\.5 MiB$/m);
  });

  test('log_level says what nodes log, and changes it on one or all', async () => {
    assert.match((await admin('log_level')).out, /^ +1 +info +- +-$/m);
    assert.deepEqual(lastCall(), ['logLevels', undefined, undefined]);
    assert.match((await admin('log_level debug --node 2')).out, /^ +1 +debug +info +-$/m);
    assert.deepEqual(lastCall(), ['logLevels', 2, 'debug']);
    assert.equal((await admin('log_level loud')).code, 2);
  });

  test('version names this program and, where they answer, the nodes', async () => {
    const { out } = await admin('version');
    assert.match(out, /^raftadmin +\d+\.\d+\.\d+$/m);
    assert.match(out, /^node 3 +does not answer$/m);
    const alone = await run(['-e', `127.0.0.1:${await closedPort()}`, 'version']);
    assert.equal(alone.code, 0);
    assert.match(alone.err, /no endpoint answers/);
  });

  test('a refusal of the cluster is one sentence with its code, and ends with 1', async () => {
    node.backend.failures.set('split', [new CatalogError('ROUTE_BUSY', 'job 7 has route 3')]);
    assert.deepEqual(await admin('routes split slot:9'), {
      code: 1,
      out: '',
      err: 'raftadmin: job 7 has route 3; wait for its job, or abort that [ROUTE_BUSY]\n',
    });
  });

  test('the next endpoint is asked when one is not there', async () => {
    const dead = `127.0.0.1:${await closedPort()}`;
    const startedMs = performance.now();
    const { code } = await run(['--endpoints', `${dead},${node.endpoint}`, 'groups', 'list']);
    assert.equal(code, 0);
    assert.ok(performance.now() - startedMs < 1_500, 'a refused connection is noticed at once');
    const fromEnv = await run(['groups', 'list'], { env: { RAFTADMIN_ENDPOINTS: `${dead}, ${node.endpoint}` } });
    assert.equal(fromEnv.code, 0);
  });

  test('a node without a directory, or one that stops, leaves the question to the next endpoint', async () => {
    node.backend.failures.set('split', [new AdminError('NO_ROUTES', 'this node has no directory yet')]);
    const { code } = await run(['-e', `${node.endpoint},${other.endpoint}`, 'routes', 'split', 'slot:1']);
    assert.equal(code, 0);
    assert.equal(other.backend.calls.length, 1);
  });

  test('no endpoint at all ends with 3 and says how to name others', async () => {
    const [a, b] = [await closedPort(), await closedPort()];
    const { code, err } = await run(['-e', `127.0.0.1:${a},127.0.0.1:${b}`, 'status']);
    assert.equal(code, 3);
    assert.match(err, new RegExp(`127\\.0\\.0\\.1:${a} takes no connection; 127\\.0\\.0\\.1:${b} takes no connection`));
    assert.match(err, /--endpoints or RAFTADMIN_ENDPOINTS\n$/);
  });

  test('a question without an answer goes to the next endpoint; a change is not said twice', async () => {
    node.backend.hold = new Promise(() => {});
    const both = ['-e', `${node.endpoint},${other.endpoint}`, '--timeout', '200ms'];
    assert.equal((await run([...both, 'groups', 'list'])).code, 0);
    assert.equal(other.backend.calls.length, 1);
    const change = await run([...both, 'routes', 'split', 'slot:1']);
    assert.equal(change.code, 1);
    assert.match(change.err, /did not answer within 0\.2s; it may have happened: look, and say it again/);
    assert.equal(other.backend.calls.length, 1, 'the change was not sent to another node');
  });

  test('Ctrl-C ends a call that does not answer', async () => {
    node.backend.hold = new Promise(() => {});
    const interrupt = new AbortController();
    const asked = node.backend.calls.length;
    const call = admin('groups list', { interrupted: interrupt.signal });
    await until(() => node.backend.calls.length > asked);
    interrupt.abort();
    assert.deepEqual(await call, { code: 1, out: '', err: 'raftadmin: stopped; what was begun goes on\n' });
  });

  test('a node of an older version is told apart from one that is away', async () => {
    const old = new grpc.Server();
    const port = await new Promise<number>((resolve) =>
      old.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
    );
    const { code, err } = await run(['-e', `127.0.0.1:${port}`, 'status']);
    const newer = await run(['-e', `127.0.0.1:${port},${node.endpoint}`, 'status']);
    old.forceShutdown();
    assert.equal(newer.code, 0, 'another endpoint knows it');
    assert.equal(code, 1);
    assert.match(err, /does not know this command: what runs there is older; upgrade it/);
  });

  test('wrong use ends with 2 and says what is right', async () => {
    for (const [args, message] of [
      [['frobnicate'], /unknown command 'frobnicate'/],
      [['statsu'], /Did you mean status\?/],
      [['promote', '1'], /missing required argument 'node'/],
      [['promote', 'one', '4'], /whole number from 1 to/],
      [['status', '-w', 'xml'], /Allowed choices are table, json, simple/],
      [['status', '--timeout', 'soon'], /duration such as 500ms/],
      [['-e', 'localhost', 'status'], /'localhost' is not host:port/],
      [['routes', 'split', 'slot:99999'], /N from 0 to 16383/],
      [['routes', 'split', 'a\\q'], /neither \\xNN nor/],
      [['routes'], /Usage: raftadmin routes/],
    ] as const) {
      const { code, err } = await run(args);
      assert.equal(code, 2, args.join(' '));
      assert.match(err, message);
    }
    const env = await run(['status'], { env: { RAFTADMIN_ENDPOINTS: 'nowhere' } });
    assert.deepEqual([env.code, /^raftadmin: RAFTADMIN_ENDPOINTS: /.test(env.err)], [2, true]);
  });
});

describe('the help of raftadmin', () => {
  const program = createProgram({
    env: {},
    isInteractive: false,
    isScreen: false,
    isErrorScreen: false,
    write: () => {},
    writeError: () => {},
    ask: async () => '',
    interrupted: new AbortController().signal,
  });
  const paths: string[][] = [];
  const collect = (command: typeof program, path: string[]): void => {
    paths.push(path);
    for (const child of command.commands) collect(child, [...path, child.name()]);
  };
  collect(program, []);

  test('has examples for every command', async () => {
    assert.ok(paths.length >= 30);
    for (const path of paths) {
      const { code, out } = await run([...path, '--help']);
      assert.equal(code, 0);
      assert.match(out, /^Usage: raftadmin/);
      assert.match(out, new RegExp(`^Examples:\\n  raftadmin .*${path.at(-1) ?? ''}`, 'm'), path.join(' '));
      assert.match(out, /--endpoints <host:port,\.\.\.>/);
    }
  });

  test('has completions for every command in each shell, and bash completes by them', {
    skip: skipWithout('bash'),
  }, async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, out } = await run(['completion', shell]);
      assert.equal(code, 0);
      for (const path of paths) for (const word of path) assert.ok(out.includes(word), `${shell}: ${word}`);
    }
    const script = (await run(['completion', 'bash'])).out;
    const complete = (...words: string[]): Promise<string[]> =>
      new Promise((resolve, reject) => {
        const line = words.map((word) => `'${word}'`).join(' ');
        const body = `${script}\nCOMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _raftadmin; echo "\${COMPREPLY[@]}"`;
        execFile('bash', ['-c', body], (error, stdout) =>
          error === null ? resolve(stdout.trim().split(' ')) : reject(error),
        );
      });
    assert.deepEqual(await complete('raftadmin', 'tr'), ['transfer_leader']);
    assert.deepEqual(await complete('raftadmin', '-w', 'json', 'routes', 'b'), ['batch_split']);
    assert.deepEqual(await complete('raftadmin', 'routes', 'move', '--wa'), ['--wait', '--wait-timeout']);
    assert.deepEqual(await complete('raftadmin', 'routes', 'move', '--en'), ['--endpoints']);
  });
});

describe('the program as it is installed', () => {
  test('prints, ends with its code and leaves nothing running', async () => {
    const child = spawn(process.execPath, [PROGRAM, '-e', `127.0.0.1:${await closedPort()}`, 'health'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env.PATH },
    });
    let err = '';
    child.stderr.on('data', (chunk) => (err += chunk));
    const code = await new Promise((resolve) => child.on('close', resolve));
    assert.equal(code, 3);
    assert.match(err, /^raftadmin: no endpoint answers/);
  });
});

describe('keys on the command line', () => {
  test('come back as they were, whatever their bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 12 }), (bytes) => {
        const key = Buffer.from(bytes);
        const text = formatKey(key);
        assert.deepEqual(parseKey(text), key);
        assert.match(text, /^[\x21-\x7e]*$/, 'a key is one word');
      }),
    );
    for (const key of ['hex:00', 'slot:1', 'r\0\x12\x34', 'r\x0f\x3f\xff', 'r\x10\0\0', 'r\0\xff\xff', '\\x41']) {
      const bytes = Buffer.from(key, 'latin1');
      assert.deepEqual(parseKey(formatKey(bytes)), bytes);
    }
  });

  test('name slots where the Redis adapter keeps them', () => {
    for (const [db, number] of [
      [0, 0],
      [0, 8192],
      [15, 16_383],
    ] as const) {
      assert.deepEqual(parseKey(`slot:${number}/${db}`), KEYSPACES[db]!.slotRange(number, number + 1).start);
    }
  });

  test('are refused when they mean nothing', () => {
    for (const text of ['slot:', 'slot:16384', 'slot:1/16', 'slot:1/', 'hex:0', 'hex:zz', 'a\\', 'a\\x1', 'a\\n']) {
      assert.throws(() => parseKey(text), KeyTextError, text);
    }
  });
});

describe('figures of raftadmin', () => {
  test('are short and carry their unit', () => {
    assert.deepEqual([0, 1023, 1536, 150 * 1024, 3 * 1024 ** 4].map(formatBytes), [
      '0 B',
      '1023 B',
      '1.5 KiB',
      '150 KiB',
      '3.0 TiB',
    ]);
    assert.deepEqual([400, 12_345, 90_500, 3_700_000, 200_000_000].map(formatDuration), [
      '0.4s',
      '12s',
      '1m30s',
      '1h01m',
      '2d7h',
    ]);
    assert.equal(formatBytes(undefined), '-');
  });
});
