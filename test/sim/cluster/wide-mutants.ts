/** Mutants of what spans groups, replicas and clocks: each takes one rule away that a single group at rest never needs. */
import type { SimMutant } from './mutants.ts';

const TXN_STATE = 'src/kv/apply/txn-state.ts';
const READER = 'src/kv/reads/reader.ts';

const crossing = (...workloads: string[]): string[] => [
  '--no-routes',
  '--crossing',
  ...workloads.flatMap((name) => ['--workload', name]),
];

export const WIDE_MUTANTS: readonly SimMutant[] = [
  {
    name: 'prepare-unchecked',
    breaks: 'locks are given although what the transaction has read is another by now',
    only: crossing('bank', 'rw-register'),
    mutations: [
      {
        file: TXN_STATE,
        find: "if (expected !== undefined && this.versionAt(key, name, ts) !== expected) return { kind: 'changed', key };",
        replace: '',
      },
    ],
  },
  {
    name: 'anchor-unmarked',
    breaks: 'a part of a transaction that is committed leaves no status at its anchor',
    test: 'test/kv/txn/prepare.test.ts',
    mutations: [
      {
        file: TXN_STATE,
        find: 'if (isPrimary || anchor === undefined || lock.key.equals(anchor)) {',
        replace: 'if (isPrimary || anchor === undefined) {',
      },
    ],
  },
  {
    name: 'resolved-unasked',
    breaks: 'a PREPARE that comes again locks what others have resolved of its part',
    test: 'test/kv/txn/prepare.test.ts',
    mutations: [
      {
        file: TXN_STATE,
        find: 'const open = keys.filter(({ key }, at) => locks.own(key, txnId, names[at]) === undefined);',
        replace: 'const open = keys.slice(0, 0);',
      },
    ],
  },
  {
    name: 'locks-unsaved',
    breaks: 'locks that are there when a batch is written are not part of it',
    test: 'test/store/side-rows.test.ts',
    mutations: [
      {
        file: 'src/store/flush/flusher.ts',
        find: 'this.host.freezing(generation);',
        replace: '',
      },
    ],
  },
  {
    name: 'locks-unseen',
    breaks: 'reads do not wait for transactions that have their locks and may be committed',
    only: crossing('bank', 'list-append'),
    mutations: [
      {
        file: 'src/kv/leader/view.ts',
        find: 'if (this.locks.size > 0) this.checkLock(this.locks.againstRead(key));',
        replace: '',
      },
    ],
  },
  {
    name: 'pipelines-overtaken',
    breaks: 'a command goes ahead of one of its own pipeline that waits for a lock',
    only: crossing('pipelines'),
    mutations: [
      {
        file: 'src/kv/leader/executor.ts',
        find: 'if (this.waits.order.size > 0 && this.waits.order.holds(operation, tries)) return;',
        replace: '',
      },
    ],
  },
  {
    name: 'chains-alike',
    breaks: 'a batch of a chain may follow an earlier chain of its connection that had just as many requests',
    test: 'test/adapter/redis/request/batch-chains.test.ts',
    mutations: [
      {
        file: 'src/adapter/redis/request/batch-chains.ts',
        find: 'chain?.number === at.chain && chain.length === at.place',
        replace: 'chain?.length === at.place',
      },
    ],
  },
  {
    name: 'resolver-guesses',
    breaks: 'a command that meets a lock rolls its transaction back without asking for its status',
    only: crossing('bank', 'list-append'),
    mutations: [
      {
        file: 'src/kv/txn/resolver.ts',
        find: "if (status.kind === 'pending') return undefined;",
        replace: "if (status.kind) return { kind: 'rolledBack' } as never;",
      },
    ],
  },
  {
    name: 'oracle-behind',
    breaks: 'the oracle grants timestamps of its own clock, whatever the groups that ask have seen',
    only: crossing('bank', 'list-append'),
    mutations: [{ file: 'src/kv/oracle/leader.ts', find: 'clock.observeForeign(after);', replace: '' }],
  },
  {
    name: 'clock-followed',
    breaks: 'a wall clock that jumps is believed until the next beat',
    only: ['--no-routes', '--workload', 'ttl', '--fault', 'clockJump', '--fault', 'transfer'],
    mutations: [
      {
        file: 'src/kv/time/node-clock.ts',
        find: 'if (Math.abs(wallMs - this.boot.at(monotonicMs) - this.wallOffsetMs) > READING_SLACK_MS) this.review();',
        replace: '',
      },
    ],
  },
  {
    name: 'clock-uncompared',
    breaks: 'a clock is relied on that nobody has looked at since the start',
    only: crossing('bank', 'list-append'),
    mutations: [
      {
        file: 'src/kv/time/group-clock.ts',
        find: 'comparison?.isReady === false',
        replace: 'comparison?.isReady === 0 as never',
      },
    ],
  },
  {
    name: 'bound-ignored',
    breaks: 'a replica answers however old it is',
    only: ['--no-routes', '--workload', 'bounded-reads', '--fault', 'partition', '--duration-ms', '12000'],
    mutations: [
      { file: READER, find: 'claim.coveredMs >= demand.coveredMs && (demand', replace: '(demand' },
      {
        file: READER,
        find: '(demand.coveredMs === undefined || claim.coveredMs >= demand.coveredMs);',
        replace: 'true;',
      },
    ],
  },
  {
    name: 'sleep-outvoted',
    breaks: 'a sleep is taken for a clock that was set, and ages go by the clock that is held back then',
    only: ['--no-routes', '--workload', 'bounded-reads', '--fault', 'pause', '--duration-ms', '12000'],
    mutations: [
      {
        file: 'src/node/build-consensus.ts',
        find: 'new ElapsedClock(parts.clock)',
        replace: 'new ElapsedClock(clock)',
      },
      {
        file: 'src/platform/suspension.ts',
        find: 'if (sleptMs < LEAST_MS) return 0;',
        replace: 'if (sleptMs < Infinity) return 0;',
      },
    ],
  },
  {
    name: 'session-forgotten',
    breaks: 'a session forgets what a leader has answered it',
    only: ['--no-routes', '--workload', 'session-reads'],
    mutations: [
      {
        file: 'src/kv/reads/session.ts',
        find: 'this.actedMs = this.source.elapsedMs();',
        replace: '',
      },
    ],
  },
  {
    name: 'scan-forgotten',
    breaks: 'a session forgets what KEYS, SCAN, RANDOMKEY and FLUSHDB have answered it',
    only: ['--no-routes', '--workload', 'session-reads'],
    mutations: [
      {
        file: 'src/adapter/redis/session/pipeline.ts',
        find: 'const succeeded = (reply: Reply): void => this.slots.settle(slot, reply);',
        replace:
          "const how = command.spec.handler!.kind === 'scan' ? 'settleHere' : 'settle'; " +
          'const succeeded = (reply: Reply): void => this.slots[how](slot, reply);',
      },
    ],
  },
  {
    name: 'exec-forgotten',
    breaks: 'a session forgets what EXEC has answered it',
    only: crossing('session-reads'),
    mutations: [
      {
        file: 'src/adapter/redis/session/pipeline.ts',
        find: 'const succeeded = (reply: Reply): void => this.slots.settle(slot, reply);',
        replace:
          "const how = command.spec.name === 'exec' ? 'settleHere' : 'settle'; " +
          'const succeeded = (reply: Reply): void => this.slots[how](slot, reply);',
      },
    ],
  },
  {
    name: 'members-not-restored',
    breaks: 'a snapshot does not bring the membership to the replica that installs it',
    only: ['--routes', '--fault', 'membership'],
    mutations: [{ file: 'src/raftengine/core/membership.ts', find: 'this.conf = meta.conf;', replace: '' }],
  },
  {
    name: 'laggard-promoted',
    breaks: 'a learner becomes a voter before it has anything of the log, and answers as one that has it',
    only: ['--routes', '--fault', 'membership'],
    mutations: [
      {
        file: 'src/raftengine/core/membership.ts',
        find: "if (step.kind === 'addVoter') this.assertPromotable(step.nodeId, replication);",
        replace: 'void step;',
      },
      {
        file: 'src/raftengine/core/follower.ts',
        find: 'this.outbox.refuse(from, term, 0, { index: 0, term: 0 }, sentAtMs);',
        replace: 'this.outbox.acknowledge(from, term, prevIndex + entries.length, sentAtMs);',
      },
    ],
  },
];
