import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { AdminError } from '../../src/cluster/contract/admin-errors.ts';
import { LeaderUnavailableError } from '../../src/kv/contract/errors.ts';
import { groupId } from '../../src/platform/index.ts';
import {
  drainStatus,
  EXAMINATION,
  FakeBackend,
  replaceStatus,
  slot,
  TIME,
  TXN_ID,
} from '../adapter/grpc/fake-backend.ts';
import { Node, type Outcome, run } from './raftadmin-bed.ts';

const ID = TXN_ID.toString('hex');

describe('operators who', () => {
  const node = new Node();
  before(() => node.start());
  after(() => node.server.forceShutdown());
  beforeEach(() => {
    node.backend = new FakeBackend();
  });
  const admin = (args: string, terminal?: Parameters<typeof run>[1]): Promise<Outcome> =>
    run(['-e', node.endpoint, ...args.split(' ')], terminal);
  const calls = (name: string): readonly (readonly unknown[])[] =>
    node.backend.calls.filter(([method]) => method === name).map(([, ...rest]) => rest);

  test('replace a node say it once, and raftadmin says it until it is done', async () => {
    node.backend.replacement = [
      replaceStatus('CHECK', 'member'),
      replaceStatus('REMOVE', 'member'),
      replaceStatus('AWAIT_NODE', 'removed'),
      replaceStatus('CATCH_UP', 'learner'),
      replaceStatus('DONE', 'done'),
    ];
    node.backend.failures.set('replace', []);
    const { code, out, err } = await admin('replace 3 4 h:1 --yes');
    assert.equal(code, 0, err);
    assert.equal(out, 'this is said in DONE, in 1 group\n');
    assert.match(err, /REMOVE \[\.{24}\] 0 %, 0 of 1 group\n/);
    assert.match(err, /this is said in AWAIT_NODE/);
    assert.match(err, /CATCH_UP .* 0 of 1 group, 250 entries behind/);
    const [look, ...steps] = calls('replace').map(([request]) => request);
    const request = { dead: 3, successor: 4, address: 'h:1', mayAnswer: false };
    assert.deepEqual(look, { ...request, isDryRun: true });
    assert.equal(steps.length, 4);
    for (const step of steps) assert.deepEqual(step, { ...request, isDryRun: false });
  });

  test('replace a node are asked first, and may look without doing anything', async () => {
    node.backend.replacement = [replaceStatus('CHECK', 'member')];
    const refused = await admin('replace 3 4');
    assert.equal(refused.code, 2);
    assert.match(
      refused.err,
      /Node 3 is taken out of the cluster for good: this is said in CHECK\. Say --yes to do it/,
    );
    const declined = await admin('replace 3 4', { isInteractive: true, ask: async () => 'n' });
    assert.deepEqual([declined.code, declined.err], [1, 'raftadmin: nothing was done\n']);
    assert.equal((await admin('replace 3 4 --dry-run')).code, 0);
    assert.ok(calls('replace').every(([request]) => (request as { isDryRun: boolean }).isDryRun));
  });

  test('replace a node hear of what does not pass, and wait for what does', async () => {
    node.backend.failures.set('replace', [new AdminError('NODE_ANSWERS', 'node 3 answers; stop its process first')]);
    const { code, err } = await admin('replace 3 4 --yes');
    assert.deepEqual([code, err], [1, 'raftadmin: node 3 answers; stop its process first [NODE_ANSWERS]\n']);
    // The look works; a step finds no leader for a moment.
    node.backend.replacement = [replaceStatus('CHECK', 'member'), replaceStatus('DONE', 'done')];
    const replace = node.backend.replace.bind(node.backend);
    let fails = 1;
    node.backend.replace = async (request) => {
      if (!request.isDryRun && fails-- > 0) throw new LeaderUnavailableError('no leader could be reached in time');
      return replace(request);
    };
    const waited = await admin('replace 3 4 --yes');
    assert.equal(waited.code, 0, waited.err);
    assert.match(waited.err, /no leader could be reached/);
    const impatient = await admin('replace 3 4 --yes --wait-timeout 1ms');
    assert.equal(impatient.code, 0, 'what is done is done');
  });

  test('drain a node are told how far it is, and wait until it is done where they say so', async () => {
    node.backend.drains = [drainStatus('draining', 2, 4)];
    const begun = await admin('drain 3');
    assert.deepEqual(
      [begun.code, begun.out],
      [0, 'node 3 is draining [........................] 0 %, it leads 2 groups, still to go: 4 of 4 replicas\n'],
    );
    node.backend.drains = [drainStatus('draining', 1, 4), drainStatus('draining', 0, 1), drainStatus('draining', 0, 0)];
    const waited = await admin('drain 3 --wait');
    assert.deepEqual([waited.code, waited.out], [0, 'node 3 is drained\n']);
    assert.match(waited.err, /draining \[#{18}\.{6}\] 75 %, it leads 0 groups, still to go: 1 of 1 replica\n/);
    // What changes something was said once by each command; the wait only looks.
    const said = calls('drain').map(([request]) => request);
    assert.deepEqual(
      said,
      Array.from({ length: 2 }, () => ({ nodeId: 3, action: 'drain' })),
    );
    assert.deepEqual(calls('drainProgress'), [[3], [3]]);
    assert.equal((await admin('drain 3 --wait --wait-timeout 1ms')).code, 0, 'what is done is done');
    node.backend.drains = [drainStatus('draining', 0, 1)];
    assert.match(
      (await admin('drain 3 --wait --wait-timeout 1ms')).err,
      /the same command goes on where this one ended/,
    );
  });

  test('wait for a drain that somebody ends hear of it', async () => {
    node.backend.drains = [drainStatus('draining', 1, 4), drainStatus('serving', 0, 0)];
    const { code, err } = await admin('drain 3 --wait');
    assert.equal(code, 1);
    assert.match(err, /somebody has put node 3 back into service/);
  });

  test('wait for a decommission say it once more when the last vote has left', async () => {
    node.backend.drains = [
      drainStatus('decommissioning', 0, 1),
      drainStatus('decommissioning', 0, 0, true),
      { ...drainStatus('removed', 0, 0), message: 'node 3 has left' },
    ];
    const { code, out } = await admin('decommission 3 --wait --yes');
    assert.deepEqual([code, out], [0, 'node 3 has left\n']);
    assert.deepEqual([calls('drain').length, calls('drainProgress').length], [2, 1]);
  });

  test('decommission a node are asked first, and hear why it cannot be', async () => {
    assert.match((await admin('decommission 3')).err, /Node 3 leaves the cluster for good .* Say --yes/);
    assert.deepEqual(calls('drain'), []);
    node.backend.failures.set('drain', [new AdminError('NO_ROOM', 'group 1 has its replicas on nodes 1, 2, 3')]);
    const { code, err } = await admin('decommission 3 --wait --yes');
    assert.deepEqual([code, err], [1, 'raftadmin: group 1 has its replicas on nodes 1, 2, 3 [NO_ROOM]\n']);
  });

  test('ask the doctor see what each node measured, and what to do', async () => {
    const well = await admin('doctor');
    assert.equal(well.code, 0);
    assert.match(
      well.out,
      / 1 {2}0\.1\.0 {4}Node\.js 24\.1\.0 {2}1\.25 ms {2}4\.50 ms +16\.0 GiB +3\.00 ms {2}128 MiB +-3 ms/,
    );
    assert.match(well.out, /nothing is wrong/);
    node.backend.doctorReport = {
      nodes: [EXAMINATION],
      problems: [
        { severity: 'warning', subject: 'node 1', message: 'its disk is slow' },
        { severity: 'critical', subject: 'group 2', message: 'nobody leads it' },
      ],
    };
    const ill = await admin('doctor');
    assert.deepEqual([ill.code, ill.err], [1, 'raftadmin: 1 critical problem\n']);
    assert.match(ill.out, /critical {2}group 2 {2}nobody leads it/);
    assert.equal(
      (await admin('doctor -w simple')).out,
      'warning\tnode 1\tits disk is slow\ncritical\tgroup 2\tnobody leads it\n',
    );
    assert.equal(JSON.parse((await admin('doctor -w json')).out).nodes[0].syncMaxMs, 4.5);
  });

  test('ask for the time see who grants it and how far each group has come', async () => {
    const { out, err } = await admin('tso');
    assert.match(out, / 1 {2}group 1 +0 {2}yes +2023-11-14 22:13:20Z {2}2023-11-14 22:13:23Z +-0\.0s {2}yes/);
    assert.equal(err, 'group 1 shall grant (tso.group)\n');
  });

  test('accept a time that is ahead see by how much, are asked first, and set it for all nodes', async () => {
    const [group] = TIME.groups;
    assert.match((await admin('accept_time --yes')).out, /^no group is ahead/);
    assert.deepEqual(calls('setSetting'), []);
    const ahead = { ...group!, ceilingMs: TIME.clockMs + 7_200_000, leadMs: 7_199_000 };
    node.backend.times = { ...TIME, groups: [group!, { ...ahead, groupId: groupId(2) }] };
    const look = await admin('accept_time --dry-run');
    assert.equal(look.code, 0);
    assert.match(look.out, / 2 +2 h/);
    assert.match(
      look.err,
      /The time of all nodes jumps ahead by 2 h, and this cannot be taken back\. Keys that would expire/,
    );
    const refused = await admin('accept_time');
    assert.equal(refused.code, 2);
    assert.match(refused.err, /Say --yes to do it/);
    assert.deepEqual(calls('setSetting'), []);
    const { code, out } = await admin('accept_time --yes');
    assert.equal(code, 0);
    assert.match(out, /^the time of all nodes leads the clocks by 2 h; they will have caught up at 2023-11-15 18:1\d/);
    const [[name, value]] = calls('setSetting') as [[string, string]];
    assert.equal(name, 'time.caughtUpAt');
    const caughtUpMs = TIME.clockMs + 10 * 7_202_000;
    assert.ok(Math.abs(Number(value) - caughtUpMs) < 10, `${value}, not about ${caughtUpMs}`);
    node.backend.times = { ...TIME, groups: [{ ...group!, problem: 'nobody leads it' }] };
    const silent = await admin('accept_time --yes');
    assert.deepEqual([silent.code, calls('setSetting').length], [1, 1], 'one that is silent may be further ahead');
    assert.match(silent.err, /group 1 does not say how far its time has come: nobody leads it/);
  });

  test('look at transactions see ids, ages and keys, and hear which groups did not answer', async () => {
    const { code, out, err } = await admin('txn list 1 2 -n 5');
    assert.equal(code, 1);
    assert.match(
      out,
      new RegExp(`${ID} {2}open +13s {2}2023-11-14 22:13:20Z {2}2023-11-14 22:13:30Z \\(over\\) +2 {2}slot:9`),
    );
    assert.match(err, /group 7: no leader could be reached\nraftadmin: the locks of 1 group are not known\n$/);
    assert.deepEqual(calls('transactions'), [[[1, 2], 5, undefined, undefined]]);
    const one = await admin(`txn status ${ID} --primary slot:9`);
    assert.match(one.out, /range +slot:10 +slot:11/);
    assert.deepEqual(calls('transactions').at(-1), [[], 1, TXN_ID, slot(9)]);
    assert.equal(JSON.parse((await admin(`txn status ${ID} -w json`)).out).txnId, ID);
    assert.equal((await admin('txn status 1234')).code, 2);
  });

  test('end a transaction are asked first', async () => {
    assert.equal((await admin(`txn resolve ${ID}`)).code, 2);
    const { code, out } = await admin(`txn resolve ${ID} --yes --force`);
    assert.deepEqual([code, out], [0, `transaction ${ID} is rolled back; 2 locks ended\n`]);
    assert.deepEqual(calls('resolveTransaction'), [[TXN_ID, true]]);
  });

  test('recover a group hear what is lost before they agree', async () => {
    const refused = await admin('unsafe_recover 2');
    assert.equal(refused.code, 2);
    assert.match(
      refused.err,
      /Group 2 goes on with the log of node 1 up to entry 1,001, with 1 entry that nobody knows to be committed\. Acknowledged writes that only node 2, 3 had are lost for good.*Say --yes/s,
    );
    const look = await admin('unsafe_recover 2 --dry-run');
    assert.match(look.out, /^node {2}last term {2}last index {2}applied\n {3}1 +7 +1001 +998\n$/);
    const { code, out, err } = await admin('unsafe_recover 2 --yes');
    assert.equal(code, 0);
    assert.match(
      out,
      /^group 2 goes on with node 1 alone; written down as recovered\/2; timestamps begin at 2023-11-14 22:13:23Z\n$/,
    );
    assert.match(err, /next: replace 2 <new node>/);
    assert.deepEqual(calls('recover').at(-1), [{ groupId: 2, isDryRun: false, node: 1 }]);
    const dry = calls('recover').filter(([request]) => (request as { isDryRun: boolean }).isDryRun);
    assert.equal(dry.length, 3);
  });
});
