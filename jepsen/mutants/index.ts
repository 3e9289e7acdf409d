/**
 * Deliberately broken kvorums. Each must be caught by its workload; one that is not means that the tests are blind there.
 * A mutant removes the rule that it names and, where a second line of defence would hide the break, that line too.
 */
import { DYNAMODB_MUTANTS } from './dynamodb.ts';
import type { Mutant } from './types.ts';

const CORE = 'src/raftengine/core/raft.ts';
const REPLICATION = 'src/raftengine/core/replication.ts';
const REPLICA = 'src/raftengine/replica/replica.ts';
const EXECUTOR = 'src/kv/leader/executor.ts';
const VIEW = 'src/kv/leader/view.ts';
const STREAM_GROUP = 'src/adapter/redis/bodies/stream/stream-group.ts';

/** Reads are answered by whoever believes that it leads. */
const alwaysHoldsLease = {
  file: CORE,
  find: 'holdsLease(nowMs: Millis): boolean {',
  replace: 'holdsLease(nowMs: Millis): boolean { if (this.currentRole === Role.Leader) return true;',
};

export const mutants: readonly Mutant[] = [
  {
    name: 'stale-reads',
    description: 'the lease never ends and a leader without a quorum does not step down',
    mutations: [
      alwaysHoldsLease,
      {
        file: REPLICATION,
        find: 'takeQuorumActive(): boolean {',
        replace: 'takeQuorumActive(): boolean { return true;',
      },
    ],
    // Reads wait for writes of their key that are in flight: of few keys, or behind a leader that is cut off, all of them do.
    workload: 'append-wide',
    nemeses: ['transfer-late-leader'],
    seconds: 20,
    rate: 200,
    concurrency: 100,
    faultSeconds: 1,
  },
  {
    name: 'early-acks',
    description: 'a write is acknowledged when it is proposed',
    mutations: [
      {
        file: EXECUTOR,
        find: 'entry.pending.push(pending);',
        replace: 'complete(pending.operation, undefined, reply);',
      },
    ],
    workload: 'set',
    nemeses: ['partition-leader'],
    seconds: 12,
    concurrency: 30,
    rate: 300,
  },
  {
    name: 'minority-commit',
    description: 'a write is committed when the leader alone has it',
    mutations: [
      {
        file: REPLICATION,
        find: 'return quorumValue(this.conf, this.matchOf);',
        replace: 'return this.log.stableIndex;',
      },
    ],
    workload: 'set',
    nemeses: ['partition-leader'],
    seconds: 12,
    concurrency: 30,
    rate: 300,
  },
  {
    name: 'unsynced-acks',
    description: 'a log write is reported as stable a second before it is begun',
    mutations: [
      {
        file: 'src/raftengine/log/wal-log-store.ts',
        find: 'await this.whenThereIsSpace(() => segment.lanes[lane]!.write(frame, writer.position));',
        replace:
          'const late = Buffer.from(frame); const { position } = writer; setTimeout(() => segment.lanes[lane]!.write(late, position), 1000);',
      },
    ],
    workload: 'set',
    nemeses: ['kill-all'],
    seconds: 10,
  },
  {
    name: 'resent-forwards',
    description: 'a forwarded write whose connection broke is sent again although it may have happened',
    mutations: [
      {
        file: 'src/kv/forward/proxy.ts',
        find: 'if (forward?.sentTo !== peer) continue;',
        replace: 'if (forward?.sentTo !== peer) continue; this.sent.delete(id); this.retryLater(forward); continue;',
      },
    ],
    workload: 'append',
    nemeses: ['network-slow', 'kill-leader'],
    overlap: 2,
    seconds: 15,
    rate: 400,
    concurrency: 40,
  },
  {
    name: 'unknown-as-refused',
    description: 'a leader that is deposed says of its open writes that nothing happened, so they are made again',
    mutations: [
      {
        file: 'src/raftengine/replica/proposals.ts',
        find: 'one.untilMs = nowMs + this.options.outcomeWaitMs;\n      this.left.push(one);',
        replace: 'this.refuseNow(one.done);',
      },
    ],
    workload: 'append',
    // A slow network makes entries of many commands: one of them is on its way when the leader turns deaf.
    nemeses: ['network-slow', 'partition-leader-deaf'],
    overlap: 2,
    faultSeconds: 4,
    seconds: 20,
    rate: 400,
    concurrency: 40,
  },
  {
    name: 'dirty-reads',
    description: 'a read of a write that is in flight does not wait for it',
    mutations: [
      {
        file: EXECUTOR,
        find: '} else if (view.dependencies.length === 0) {',
        replace: '} else if (view.dependencies.length >= 0) {',
      },
    ],
    workload: 'append',
    nemeses: ['partition-leader'],
    seconds: 15,
    rate: 400,
    concurrency: 40,
  },
  {
    name: 'lost-updates',
    description: 'commands do not see writes in flight, and apply does not check what they were computed from',
    mutations: [
      { file: VIEW, find: 'this.overlay.isEmpty ? undefined : this.overlay.lookup(name, key)', replace: 'undefined' },
      {
        file: 'src/kv/apply/batch.ts',
        find: 'visibleVersion(store.latest(key, name), this.commitTs) !== versionTs',
        replace: 'false',
      },
    ],
    workload: 'counter',
    nemeses: [],
    seconds: 5,
    rate: 400,
  },
  {
    name: 'ignored-watch',
    description: 'EXEC runs although a watched key has changed',
    mutations: [
      {
        file: 'src/adapter/redis/request/transaction-requests.ts',
        find: 'if (now !== version && !isAbsentStill) return NIL_ARRAY;',
        replace: 'if (now !== version && !isAbsentStill && false) return NIL_ARRAY;',
      },
    ],
    workload: 'bank',
    nemeses: [],
    seconds: 5,
  },
  {
    name: 'ignored-expiry',
    description: 'keys outlive their time to live until they are collected, and are never collected',
    mutations: [
      {
        file: VIEW,
        find: 'value.expireTs <= this.viewTs ? undefined : value',
        replace: 'value.expireTs <= this.viewTs ? value : value',
      },
      { file: 'src/kv/leader/maintenance.ts', find: 'periodMs: 1000,', replace: 'periodMs: 1_000_000,' },
    ],
    workload: 'ttl',
    nemeses: [],
    seconds: 12,
  },
  {
    name: 'lease-kept',
    description: 'a leader that hands over still answers reads from its lease',
    mutations: [{ file: 'src/raftengine/core/lease.ts', find: 'if (this.voided || ', replace: 'if (' }],
    workload: 'append',
    nemeses: ['transfer-late-leader'],
    seconds: 20,
    rate: 400,
    concurrency: 40,
    faultSeconds: 1,
  },
  {
    name: 'early-service',
    description: 'a new leader serves before it knows what its predecessors have committed',
    mutations: [
      alwaysHoldsLease,
      // Its clock opens only with an entry of its own term, which would hide the rest.
      {
        file: 'src/kv/time/group-clock.ts',
        find: 'const { ceilingMs, maxTs } = this.replicated;',
        replace: 'this.boundMs = Number.MAX_SAFE_INTEGER; const { ceilingMs, maxTs } = this.replicated;',
      },
      {
        file: REPLICA,
        find: 'this.leadingTerm = term;',
        replace:
          "this.leadingTerm = term; if (term !== 0) { this.servingTerm = term; this.stateMachine.onLeadership({ kind: 'serving', term }); }",
      },
    ],
    workload: 'append',
    nemeses: ['network-slow', 'kill-leader'],
    overlap: 2,
    seconds: 20,
    rate: 400,
    concurrency: 40,
  },
  {
    name: 'overtaken-pipelines',
    description: 'a command goes ahead of one of its own pipeline that waits for a lock',
    mutations: [
      {
        file: EXECUTOR,
        find: 'if (this.waits.order.size > 0 && this.waits.order.holds(operation, tries)) return;',
        replace: '',
      },
    ],
    workload: 'pipelines',
    nemeses: [],
    seconds: 6,
    groups: 3,
    rate: 300,
    concurrency: 12,
  },
  {
    name: 'unbounded-reads',
    description: 'a replica answers however old what it has is',
    mutations: [
      {
        file: 'src/kv/reads/session.ts',
        find: 'return Math.max(this.source.elapsedMs() - this.maxStalenessMs, this.actedMs);',
        replace: 'return this.actedMs;',
      },
    ],
    workload: 'bounded-reads',
    nemeses: ['partition-halves'],
    seconds: 14,
    rate: 300,
    concurrency: 20,
    faultSeconds: 10,
  },
  {
    name: 'votes-of-the-emptied',
    description: 'a voter that lost its disk votes again before anybody told it who the members are',
    mutations: [
      {
        file: 'src/raftengine/core/membership.ts',
        find: 'return this.conf.voters.length > 0;',
        replace: 'return true;',
      },
      // Its peers would refuse to hear a new life of it, which would hide the rest.
      {
        file: 'src/raftengine/founding/peer-book.ts',
        find: 'if (lives.incarnation === undefined) return',
        replace: 'if (true) return',
      },
    ],
    workload: 'append',
    nemeses: ['membership-empty-voter'],
    seconds: 20,
    rate: 300,
    concurrency: 20,
    faultSeconds: 14,
  },
  {
    name: 'forgetful-sessions',
    description: 'a connection does not remember what it did itself',
    mutations: [
      {
        file: 'src/kv/reads/session.ts',
        find: 'this.actedMs = this.source.elapsedMs();',
        replace: '',
      },
    ],
    workload: 'session-reads',
    nemeses: ['kill-leader'],
    seconds: 12,
    rate: 300,
    concurrency: 20,
  },
  {
    name: 'forgotten-scans',
    description: 'a connection does not remember what KEYS, SCAN, RANDOMKEY and FLUSHDB have answered it',
    mutations: [
      {
        file: 'src/adapter/redis/session/pipeline.ts',
        find: 'const succeeded = (reply: Reply): void => this.slots.settle(slot, reply);',
        replace:
          "const how = command.spec.handler!.kind === 'scan' ? 'settleHere' : 'settle'; " +
          'const succeeded = (reply: Reply): void => this.slots[how](slot, reply);',
      },
    ],
    workload: 'session-reads',
    nemeses: [],
    seconds: 12,
    rate: 300,
    concurrency: 20,
  },
  {
    name: 'forgotten-acknowledgements',
    description: 'XACK counts an entry and leaves it pending',
    mutations: [
      {
        file: STREAM_GROUP,
        find: 'this.pending.remove(id);\n    this.take(entry);\n    return true;',
        replace: 'return true;',
      },
    ],
    workload: 'stream-group',
    nemeses: ['kill-leader'],
    seconds: 8,
    rate: 200,
    concurrency: 10,
  },
  {
    name: 'forgotten-deliveries',
    description: 'a group does not remember how far it was given entries',
    mutations: [
      {
        file: 'src/adapter/redis/commands/stream/progress.ts',
        find: 'group.lastDelivered = Buffer.from(id);',
        replace: '',
      },
    ],
    workload: 'stream-group',
    nemeses: ['kill-leader'],
    seconds: 8,
    rate: 200,
    concurrency: 10,
  },
  {
    name: 'subscribed-early',
    description: 'SUBSCRIBE is answered before other nodes know what the client listens to',
    mutations: [
      {
        file: 'src/adapter/redis/messages/messages.ts',
        find: 'if (this.isTold(version)) return undefined;',
        replace: 'if (version >= 0) return undefined;',
      },
    ],
    workload: 'subscribers',
    // Nodes hear late of each other's clients.
    nemeses: ['network-slow'],
    seconds: 15,
    rate: 300,
    concurrency: 20,
    faultSeconds: 4,
  },
  {
    name: 'forgotten-changes',
    description: 'a step of the archive leaves out what was committed shortly before its moment',
    mutations: [
      {
        file: 'src/cluster/archive/group-changes.ts',
        find: 'ts > from && ts <= to;',
        replace: 'ts > from && ts <= to - (BigInt(50) << BigInt(16));',
      },
    ],
    workload: 'set',
    // A window of moments opens with the first backup, which takes some seconds.
    nemeses: ['archive'],
    seconds: 30,
    rate: 200,
    groups: 3,
    faultSeconds: 28,
  },
  {
    name: 'events-of-attempts',
    description: 'the events of a write leave when it is evaluated, and not when it has taken effect',
    mutations: [
      {
        file: 'src/adapter/redis/request/group-request.ts',
        find: 'afterCommit(effect: Effect): void {',
        replace: 'afterCommit(effect: Effect): void { this.settings.emit?.(effect); return;',
      },
    ],
    workload: 'key-events',
    // What a leader has evaluated and nobody has got is evaluated again by the next one.
    nemeses: ['partition-leader', 'pause-leader'],
    seconds: 15,
    rate: 300,
    concurrency: 20,
    faultSeconds: 2,
  },
  ...DYNAMODB_MUTANTS,
];
