/**
 * Proves that the simulation can say no: each mutant takes one rule out of kvorum's source as it is loaded, and some seed has
 * to notice. A mutant that survives means that the simulation is blind there.
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Mutation } from '../../../jepsen/mutants/types.ts';
import { COLLECTION_MUTANTS } from './collection-mutants.ts';
import { FOLDER_MUTANTS } from './folder-mutants.ts';
import { MESSAGE_MUTANTS } from './message-mutants.ts';
import { MOVE_MUTANTS } from './move-mutants.ts';
import { SCRIPT_MUTANTS } from './script-mutants.ts';
import { WAITING_MUTANTS } from './waiting-mutants.ts';
import { WIDE_MUTANTS } from './wide-mutants.ts';

/** A deliberate break of kvorum. */
export interface SimMutant {
  readonly name: string;
  readonly breaks: string;
  readonly mutations: readonly Mutation[];
  /** What its runs are narrowed to, where all workloads and faults together meet the break too seldom. */
  readonly only?: readonly string[];
  /** The test that has to notice, where no run of a cluster meets the break: a path below the project's root. */
  readonly test?: string;
}

const REPLICA = 'src/raftengine/replica/replica.ts';
const REPLICATION = 'src/raftengine/core/replication.ts';
const EXECUTOR = 'src/kv/leader/executor.ts';
const STATE_MACHINE = 'src/kv/apply/state-machine.ts';
const RECOVERY = 'src/raftengine/log/recovery.ts';
const READ_POINTS = 'src/kv/reads/read-points.ts';

/** Those of a cluster whose ranges stay where they are. */
const RESTING_MUTANTS: readonly SimMutant[] = [
  {
    name: 'lease-unchecked',
    breaks: 'a leader answers reads without looking at its lease (workload register and partitions alone)',
    only: ['--workload', 'register', '--fault', 'partition'],
    mutations: [{ file: REPLICA, find: 'this.core.holdsLease(this.host.clock.monotonicMs())', replace: 'true' }],
  },
  {
    name: 'ack-before-persist',
    breaks: 'acknowledgements and votes leave before what they speak of is stable',
    mutations: [
      {
        file: REPLICA,
        find: 'messages: [...ready.messagesAfterPersist],',
        replace: 'messages: (ready.messagesAfterPersist.forEach((message) => this.host.send(message)), []),',
      },
    ],
  },
  {
    name: 'unsynced-log',
    breaks: 'the log is written and not synced',
    mutations: [
      {
        file: 'src/raftengine/log/segments.ts',
        find: 'this.disk.open(path, { durable: true })',
        replace: 'this.disk.open(path)',
      },
    ],
  },
  {
    name: 'unsynced-store',
    breaks: 'the store says that a flush is durable without a sync',
    mutations: [
      {
        file: 'src/store/flush/flush.ts',
        find: 'await chain.write({ sync: true });',
        replace: 'await chain.write({ sync: false });',
      },
    ],
  },
  {
    name: 'lease-kept-in-transfer',
    breaks: 'a leader that hands over goes on to use its lease',
    mutations: [{ file: 'src/raftengine/core/lease.ts', find: 'this.voided = true;', replace: '' }],
  },
  {
    name: 'point-unreached',
    breaks: 'a replica answers at a read point that it has not come to (workload register and partitions alone)',
    only: ['--workload', 'register', '--fault', 'partition'],
    mutations: [
      { file: READ_POINTS, find: 'here.state.stateMachine.applied().index >= index', replace: 'true' },
      { file: READ_POINTS, find: 'return applied >= index && store', replace: 'return store' },
    ],
  },
  {
    name: 'scan-unconfirmed',
    breaks: 'a leader answers scans without asking whether it still leads (workload set and partitions alone)',
    only: ['--workload', 'set', '--fault', 'partition'],
    mutations: [
      { file: EXECUTOR, find: 'if (!this.raft.holdsLease()) await this.raft.readBarrier();', replace: '' },
      {
        file: 'src/kv/leader/group-reads.ts',
        find: 'await catchUp();\n    for (const { start',
        replace: 'for (const { start',
      },
    ],
  },
  {
    name: 'early-reply',
    breaks: 'a write is answered when it is proposed',
    mutations: [
      {
        file: EXECUTOR,
        find: 'entry.pending.push(pending);',
        replace: 'complete(operation, undefined, reply);',
      },
    ],
  },
  {
    name: 'dirty-reads',
    breaks: 'a read of a write in flight does not wait for it',
    mutations: [
      {
        file: EXECUTOR,
        find: '} else if (view.dependencies.length === 0) {',
        replace: '} else if (view.dependencies.length >= 0) {',
      },
    ],
  },
  {
    name: 'lost-updates',
    breaks: 'commands do not see writes in flight, and apply does not check what they were computed from',
    mutations: [
      {
        file: 'src/kv/leader/view.ts',
        find: 'this.overlay.isEmpty ? undefined : this.overlay.lookup(name, key)',
        replace: 'undefined',
      },
      {
        file: 'src/kv/apply/batch.ts',
        find: 'else if (!refusals.has(unit) && visibleVersion(store.latest(key, name), this.commitTs) !== versionTs)',
        replace: 'else if (!refusals.has(unit) && false)',
      },
    ],
  },
  {
    name: 'minority-commit',
    breaks: 'an entry is committed when the leader alone has it',
    mutations: [
      {
        file: REPLICATION,
        find: 'return quorumValue(this.conf, this.matchOf);',
        replace: 'return this.log.stableIndex;',
      },
    ],
  },
  {
    name: 'log-cut-too-far',
    breaks: 'recovery takes the last whole entry for a torn one',
    mutations: [
      {
        file: RECOVERY,
        find: 'this.refuseWhenEntriesAreMissing(first);',
        replace:
          'for (const { index } of this.groups.values()) if (index.lastIndex > index.firstIndex) index.cutFrom(index.lastIndex);',
      },
    ],
  },
  {
    name: 'truncated-too-early',
    breaks: 'the log is cut above what the store has made durable',
    mutations: [
      {
        file: REPLICA,
        find: 'Math.min(this.stateMachine.durableIndex(), appliedIndex)',
        replace: 'appliedIndex',
      },
    ],
  },
  {
    name: 'store-ahead-of-log',
    breaks: 'the store makes durable what the log of its node does not hold yet',
    test: 'test/sim/disks/slow-disks.test.ts',
    mutations: [
      {
        file: 'src/store/flush/flusher.ts',
        find: 'if (index > this.logged) await this.untilLogged(index);',
        replace: '',
      },
    ],
  },
  {
    name: 'snapshot-without-meta',
    breaks: 'a snapshot brings the data and leaves index, term, membership and clock as they were',
    mutations: [
      {
        file: STATE_MACHINE,
        find: 'group, manifest, () => this.reload())',
        replace: 'group, manifest, () => undefined)',
      },
    ],
  },
  {
    name: 'resent-forwards',
    breaks: 'a forwarded write whose connection broke is sent again although it may have happened',
    mutations: [
      {
        file: 'src/kv/forward/proxy.ts',
        find: 'if (forward?.sentTo !== peer) continue;',
        replace: 'if (forward?.sentTo !== peer) continue; this.sent.delete(id); this.retryLater(forward); continue;',
      },
    ],
  },
  {
    name: 'unknown-as-refused',
    breaks: 'a deposed leader says of its open writes that nothing happened, so they are made again',
    mutations: [
      {
        file: 'src/raftengine/replica/proposals.ts',
        find: 'one.untilMs = nowMs + this.options.outcomeWaitMs;\n      this.left.push(one);',
        replace: 'this.refuseNow(one.done);',
      },
    ],
  },
  {
    name: 'early-service',
    breaks: 'a new leader serves before it has applied what its predecessors committed',
    mutations: [
      { file: REPLICA, find: 'this.core.holdsLease(this.host.clock.monotonicMs())', replace: 'true' },
      {
        file: REPLICA,
        find: 'this.leadingTerm = term;',
        replace:
          "this.leadingTerm = term; if (term !== 0) { this.servingTerm = term; this.stateMachine.onLeadership({ kind: 'serving', term }); }",
      },
    ],
  },
  {
    name: 'ignored-watch',
    breaks: 'EXEC runs although a watched key has changed',
    mutations: [
      {
        file: 'src/adapter/redis/request/transaction-requests.ts',
        find: 'if (now !== version && !isAbsentStill) return NIL_ARRAY;',
        replace: 'if (now !== version && !isAbsentStill && false) return NIL_ARRAY;',
      },
    ],
  },
  {
    name: 'clock-not-observed',
    breaks: 'a new leader does not move its clock past what was committed',
    mutations: [
      {
        file: 'src/kv/time/group-clock.ts',
        find: 'this.hlc.observe(maxTs);\n    if (ceilingMs > 0) this.hlc.observe(lastBefore(ceilingMs));',
        replace: '',
      },
    ],
  },
];

export const SIM_MUTANTS: readonly SimMutant[] = [
  ...RESTING_MUTANTS,
  ...MOVE_MUTANTS,
  ...WIDE_MUTANTS,
  ...FOLDER_MUTANTS,
  ...COLLECTION_MUTANTS,
  ...MESSAGE_MUTANTS,
  ...WAITING_MUTANTS,
  ...SCRIPT_MUTANTS,
];

/** How one mutant ended. */
export interface Fate {
  /** Seeds until it was noticed, 0 when a test did; undefined when it survived all. */
  readonly seeds: number | undefined;
  readonly by: string;
}

const pathOf = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Runs one mutant in a process of its own over up to `seeds` seeds, or its test. @throws when it does not fit the source any more */
export async function runMutant(mutant: SimMutant, seeds: number): Promise<Fate> {
  const { test } = mutant;
  if (test !== undefined) {
    const { code, output } = await runMutated(mutant, [pathOf(`../../../${test}`)]);
    const failed = /^not ok \d+ - (.*)$/m.exec(output) ?? /✖ (.*) \(/.exec(output);
    return code === 0 || failed === null ? { seeds: undefined, by: '' } : { seeds: 0, by: `${test}: ${failed[1]}` };
  }
  const resting = RESTING_MUTANTS.includes(mutant) ? ['--no-routes'] : [];
  const options = ['--seeds', String(seeds), '--json', '--no-shrink', '--jobs', '1', ...resting];
  const { code, output, errors } = await runMutated(mutant, [pathOf('./main.ts'), ...options, ...(mutant.only ?? [])]);
  const line = output.split('\n').find((each) => each.startsWith('{'));
  if (line !== undefined) {
    const { runs, message } = JSON.parse(line) as { runs: number; message: string };
    return { seeds: runs, by: message.split('\n', 1)[0]!.slice(0, 110) };
  }
  if (code !== 0) throw new Error(`the mutant ${mutant.name} could not be run:\n${errors}`);
  return { seeds: undefined, by: '' };
}

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs a script over the broken source. */
function runMutated(mutant: SimMutant, args: readonly string[]): Promise<Ended> {
  const preload = new URL('../../../jepsen/cluster/preload.ts', import.meta.url).href;
  const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
  const child = spawn(process.execPath, ['--import', preload, ...args], {
    env: { ...environment, KVORUM_MUTATIONS: JSON.stringify(mutant.mutations) },
  });
  let output = '';
  let errors = '';
  child.stdout.on('data', (chunk: Buffer) => {
    output += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    errors += chunk.toString();
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output, errors }));
  });
}

/**
 * Runs every mutant over up to `seeds` seeds and prints a table.
 * @returns exit code: 1 when a mutant survived
 */
export async function runMutants(seeds: number, names?: readonly string[]): Promise<number> {
  let survivors = 0;
  console.log(`| mutant | what it breaks | seeds | noticed by |\n| --- | --- | ---: | --- |`);
  for (const mutant of SIM_MUTANTS) {
    if (names !== undefined && !names.includes(mutant.name)) continue;
    const { seeds: needed, by } = await runMutant(mutant, seeds);
    if (needed === undefined) survivors += 1;
    const shown = needed === 0 ? 'test' : (needed ?? `SURVIVED ${seeds}`);
    console.log(`| ${mutant.name} | ${mutant.breaks} | ${shown} | ${by} |`);
  }
  return survivors === 0 ? 0 : 1;
}
